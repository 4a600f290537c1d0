"""The denoiser: Wan2.1's transformer with conditions, a noise level per latent frame, causal masks and a KV cache.

The modules are those of diffusers' WanTransformer3DModel, under their names, so published weights fit; the passes are
our own. Latent frames are folded into the batch between attentions: what depends on a latent frame's noise level or ego
motion then broadcasts over its tokens.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from worldmodel.worldgen.attention import AttentionPlan, ChunkMask, PlannedAttention, SinkView
from worldmodel.worldgen.condition_layers import EgoEmbedding, LayoutPatches, TagTokens, prior_channels
from worldmodel.worldgen.conditions import Conditions
from worldmodel.worldgen.denoiser_config import FittedDenoiserConfig
from worldmodel.worldgen.kv_cache import KVCache, Span
from worldmodel.worldgen.rotary import rotary_table

Mode = Literal["full", "causal", "teacher_forcing"]

LEAST_SIGMA = 0.05
_TIMESTEPS = 1000


class Denoiser(nn.Module):
    """Predicts the velocity v = noise - x0 of x_sigma = (1 - sigma) x0 + sigma noise.

    Latent frame 0 is the given one: clean (sigma 0) in every pass; what is predicted for it means nothing.
    """

    def __init__(self, config: FittedDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self.span = Span(config.chunk, config.window)
        channels = config.latents.channels
        self.transformer = WanTransformer3DModel(
            patch_size=(1, config.patch, config.patch),
            num_attention_heads=config.heads,
            attention_head_dim=config.width // config.heads,
            in_channels=3 * channels + 2 + config.layout_channels,
            out_channels=channels,
            text_dim=config.text_width,
            freq_dim=config.frequencies,
            ffn_dim=config.ffn,
            num_layers=config.layers,
        )
        for block in self.transformer.blocks:
            block.attn1.set_processor(PlannedAttention())
        self.layout = LayoutPatches(config)
        self.ego = EgoEmbedding(config.width)
        self.tags = TagTokens(config)

    def forward(
        self, x: Tensor, sigma: Tensor, conditions: Conditions, mode: Mode, clean: Tensor | None = None
    ) -> Tensor:
        """The velocity of whole clips.

        Args:
            x: [B, F, C, h, w], latent frame f at noise level sigma[:, f].
            sigma: [B, F].
            conditions: of the same F latent frames.
            mode: `full`: every latent frame sees every other; `causal`: each chunk sees itself and the chunks before,
                as they are in x; `teacher_forcing`: it sees the chunks before as they are in `clean`.
            clean: [B, F, C, h, w] at sigma 0, for teacher forcing alone.

        Returns:
            [B, F, C, h, w]
        """
        if (clean is not None) != (mode == "teacher_forcing"):
            raise ValueError(f"mode {mode}: clean latents are for teacher_forcing, and needed there")
        copies = [x] if clean is None else [clean, x]
        levels = [sigma] if clean is None else [torch.zeros_like(sigma), sigma]
        given = torch.cat([prior_channels(conditions, starts=True), self.layout(conditions)], dim=2)
        tokens = torch.cat([self._tokens(copy, given) for copy in copies], dim=1)
        time = torch.cat([self._time(level) for level in levels], dim=1)
        time = time + self.ego(conditions).repeat(1, len(copies), 1)
        plan = self._plan(x.shape[1], mode, x.device)
        hidden = self._blocks(tokens, time, conditions, (plan for _ in self.transformer.blocks))
        own = slice(-x.shape[1], None)
        return self._velocity(hidden[:, own], time[:, own], x, sigma)

    def new_cache(self, batch: int) -> KVCache:
        """An empty cache for `step`, for a batch of this size."""
        return KVCache(self.config.layers, self.span, batch)

    def step(self, x: Tensor, sigma: Tensor, conditions: Conditions, cache: KVCache, write: bool = False) -> Tensor:
        """The velocity of the next chunk, which sees itself and what the cache holds.

        Args:
            x: [B, c, C, h, w]; the first chunk is the given latent frame alone, the others have `chunk` latent frames.
            sigma: [B], the chunk's noise level.
            conditions: of these c latent frames.
            cache: the chunks before.
            write: remembers this chunk as the next one's context, without its gradient; call it with the clean chunk
                at sigma 0.

        Returns:
            [B, c, C, h, w], with a gradient to this chunk alone.

        Raises:
            ValueError: the chunk is none that can follow, or the batch is not the cache's.
        """
        frames, seen = x.shape[1], cache.context_frames(x.shape[1])
        if len(x) != cache.batch:
            raise ValueError(f"{len(x)} clips for a cache of {cache.batch}")
        levels = sigma[:, None].expand(-1, frames)
        given = torch.cat([prior_channels(conditions, starts=cache.seen == 0), self.layout(conditions)], dim=2)
        time = self._time(levels) + self.ego(conditions)
        table = self._table(range(seen + frames), x.device)
        plan = AttentionPlan(frames, table[seen * self.config.tokens :], table)
        plans = (
            replace(
                plan,
                past=tuple(cache.context(layer, frames)),
                remember=partial(cache.append, layer) if write else None,
            )
            for layer in range(self.config.layers)
        )
        hidden = self._blocks(self._tokens(x, given), time, conditions, plans)
        if write:
            cache.advance(frames)
        return self._velocity(hidden, time, x, levels)

    def _tokens(self, x: Tensor, given: Tensor) -> Tensor:
        """[B, F, tokens, D]"""
        channels = torch.cat([x, given], dim=2).transpose(1, 2)
        embedded: Tensor = self.transformer.patch_embedding(channels)
        return embedded.flatten(3).permute(0, 2, 3, 1)

    def _time(self, sigma: Tensor) -> Tensor:
        """[B, F, D]"""
        embedder = self.transformer.condition_embedder
        waves: Tensor = embedder.timesteps_proj(_TIMESTEPS * sigma.flatten())
        embedded: Tensor = embedder.time_embedder(waves)
        return embedded.reshape(*sigma.shape, -1)

    def _plan(self, frames: int, mode: Mode, device: torch.device) -> AttentionPlan:
        if mode == "full":
            table = self._table(range(frames), device)
            return AttentionPlan(frames, table, table)
        copies = 2 if mode == "teacher_forcing" else 1
        table = self._table([*range(frames)] * copies, device)
        mask = ChunkMask(self.span, frames, self.config.tokens, beside_clean=copies == 2)
        plan = AttentionPlan(copies * frames, table, table, mask)
        evicted = mask.evicted().tolist()
        if not any(evicted):
            return plan
        places = [frame - gone for frame, gone in enumerate(evicted)]
        is_sink = torch.arange(copies * frames * self.config.tokens, device=device) < self.config.tokens
        return replace(plan, sink=SinkView(self._table(places * copies, device), is_sink))

    def _table(self, places: Iterable[int], device: torch.device) -> Tensor:
        return rotary_table(tuple(places), self.config.token_grid, self.config.width // self.config.heads, device)

    def _blocks(self, tokens: Tensor, time: Tensor, conditions: Conditions, plans: Iterable[AttentionPlan]) -> Tensor:
        """Tokens and time embedding [B, F, tokens, D] and [B, F, D] through all blocks."""
        embedder = self.transformer.condition_embedder
        frames = tokens.shape[1]
        folded = time.flatten(0, 1)
        modulation = embedder.time_proj(embedder.act_fn(folded)).reshape(len(folded), 6, -1)
        text = embedder.text_embedder(self.tags(conditions)).repeat_interleave(frames, dim=0)
        hidden: Tensor = tokens.flatten(0, 1)
        for block, plan in zip(self.transformer.blocks, plans, strict=True):
            if self.config.checkpointing and torch.is_grad_enabled() and plan.remember is None:
                hidden = checkpoint(block, hidden, text, modulation, plan, use_reentrant=False)
            else:
                hidden = block(hidden, text, modulation, plan)
        return hidden.reshape(tokens.shape)

    def _velocity(self, hidden: Tensor, time: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        model, patch = self.transformer, self.config.patch
        shift, scale = (model.scale_shift_table + time.flatten(0, 1)[:, None]).chunk(2, dim=1)
        normed = (model.norm_out(hidden.flatten(0, 1).float()) * (1 + scale) + shift).type_as(hidden)
        cells: Tensor = model.proj_out(normed).reshape(*sigma.shape, *self.config.token_grid, patch, patch, -1)
        said = cells.permute(0, 1, 6, 2, 4, 3, 5).reshape(x.shape)
        if self.config.prediction == "v":
            return said
        return (x - said) / sigma.clamp(min=LEAST_SIGMA)[..., None, None, None]
