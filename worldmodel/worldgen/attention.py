"""Self-attention over latent frames: block-causal masks, or a cache, with positions that count from the window's start.

A transformer block of diffusers hands its rotary argument through to its self-attention untouched. It carries an
AttentionPlan here, which says everything about one pass, so the attention itself holds no state.

Beyond the window the sink is nearer than its place in the clip says. A masked pass then needs two scores per query, one
for the sink and one for the rest; both come from one attention over keys of twice the features, half of them zero.

On the CPU the masks are dense. On CUDA they are FlexAttention block masks, compiled and kept per shape; that path has
been compared with the dense one on the CPU, and has not been run on CUDA yet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from worldmodel.worldgen.kv_cache import Span
from worldmodel.worldgen.rotary import rotate

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ChunkMask:
    """Who sees whom: each chunk itself and, within the window, the chunks before it.

    Attributes:
        span: chunks and window.
        frames: latent frames of a clip, F.
        tokens: of a latent frame.
        beside_clean: the tokens are a clean copy of the clip followed by a noisy one, 2F in all. Clean chunks see
            clean ones; a noisy chunk sees itself and the clean chunks before it.
    """

    span: Span
    frames: int
    tokens: int
    beside_clean: bool = False

    def of_frames(self) -> Tensor:
        """bool [F, F] or [2F, 2F]: True where the row's latent frame sees the column's."""
        chunk = torch.tensor([self.span.chunk_of(frame) for frame in range(self.frames)])
        place = torch.arange(self.frames)
        near = (place[None] >= 1 + self.evicted()[:, None]) | (place[None] == 0)
        own = chunk[:, None] == chunk[None]
        before = (chunk[:, None] > chunk[None]) & near
        if not self.beside_clean:
            return own | before
        return torch.cat([torch.cat([own | before, torch.zeros_like(own)], 1), torch.cat([before, own], 1)])

    def evicted(self) -> Tensor:
        """int64 [F]: the latent frames after the sink that each frame no longer sees."""
        ends = [min(self.frames, 1 + self.span.chunk_of(f) * self.span.chunk) for f in range(self.frames)]
        return torch.tensor([self.span.evicted(end) for end in ends])


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def dense_mask(mask: ChunkMask, device: torch.device) -> Tensor:
    """bool [S, S] over the tokens."""
    return mask.of_frames().repeat_interleave(mask.tokens, 0).repeat_interleave(mask.tokens, 1).to(device)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def block_mask(mask: ChunkMask, device: torch.device) -> BlockMask:
    """The same for FlexAttention."""
    frames = mask.of_frames().to(device)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return frames[query // mask.tokens, key // mask.tokens]

    length = len(frames) * mask.tokens
    return create_block_mask(sees, B=None, H=None, Q_LEN=length, KV_LEN=length, device=str(device))


@dataclass(frozen=True)
class SinkView:
    """The sink as seen from beyond the window.

    Attributes:
        queries: rotary table of the queries, with positions that count from the window's start.
        is_sink: bool [S], the keys of the sink.
    """

    queries: Tensor
    is_sink: Tensor


@dataclass(frozen=True)
class AttentionPlan:
    """One pass of self-attention over the frames of a batch.

    Attributes:
        frames: latent frames per clip in this pass, copies counted; they come folded into the batch.
        queries, keys: rotary tables; the keys are the remembered ones, then the own.
        mask: None where everything sees everything.
        sink: set where the mask reaches beyond the window.
        past: remembered keys (before rotary) and values, [B, tokens, heads, features] each.
        remember: takes the own keys (before rotary) and values; None to remember nothing.
    """

    frames: int
    queries: Tensor
    keys: Tensor
    mask: ChunkMask | None = None
    sink: SinkView | None = None
    past: tuple[KeysValues, ...] = ()
    remember: Callable[[Tensor, Tensor], None] | None = None


class SelfAttention(Protocol):
    """The parts of diffusers' WanAttention that are used here."""

    heads: int
    to_q: nn.Module
    to_k: nn.Module
    to_v: nn.Module
    to_out: nn.ModuleList
    norm_q: nn.Module
    norm_k: nn.Module


class PlannedAttention:
    """The processor of a block's self-attention."""

    def __call__(
        self,
        attn: SelfAttention,
        hidden_states: Tensor,
        encoder_hidden_states: None,
        attention_mask: None,
        rotary_emb: AttentionPlan,
    ) -> Tensor:
        """Attention over all tokens of a clip; they come and go as [B * frames, tokens, D], one latent frame a row."""
        plan = rotary_emb
        clips = hidden_states.reshape(-1, plan.frames * hidden_states.shape[1], hidden_states.shape[2])
        query, key = attn.norm_q(attn.to_q(clips)), attn.norm_k(attn.to_k(clips))
        query, key, value = (part.unflatten(2, (attn.heads, -1)) for part in (query, key, attn.to_v(clips)))
        if plan.remember is not None:
            plan.remember(key, value)
        key = torch.cat([*(keys for keys, _ in plan.past), key], dim=1)
        value = torch.cat([*(values for _, values in plan.past), value], dim=1)
        mixed: Tensor = attn.to_out[0](_attend(query, key, value, plan).flatten(2))
        return mixed.reshape(hidden_states.shape)


def _attend(query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan) -> Tensor:
    scale = query.shape[-1] ** -0.5
    turned_query, turned_key = rotate(query, plan.queries), rotate(key, plan.keys)
    if plan.sink is not None:
        is_sink = plan.sink.is_sink[:, None, None]
        turned_query = torch.cat([turned_query, rotate(query, plan.sink.queries)], dim=-1)
        turned_key = torch.cat([turned_key.masked_fill(is_sink, 0), turned_key.masked_fill(~is_sink, 0)], dim=-1)
    heads_first = [part.transpose(1, 2) for part in (turned_query, turned_key, value)]
    return masked_attention(*heads_first, mask=plan.mask, scale=scale).transpose(1, 2)


def masked_attention(query: Tensor, key: Tensor, value: Tensor, *, mask: ChunkMask | None, scale: float) -> Tensor:
    """Softmax attention of [B, heads, S, features]; the values' features may differ in number from the others'."""
    if mask is None:
        return scaled_dot_product_attention(query, key, value, scale=scale)
    if query.is_cuda:
        flex = _compiled_flex_attention()
        return flex(query, key, value, block_mask=block_mask(mask, query.device), scale=scale)
    return scaled_dot_product_attention(query, key, value, attn_mask=dense_mask(mask, query.device), scale=scale)


@lru_cache(maxsize=1)
def _compiled_flex_attention() -> Callable[..., Tensor]:
    return torch.compile(flex_attention)
