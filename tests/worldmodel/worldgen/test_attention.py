"""Masks written out by hand, and attention that agrees with the published network's and with FlexAttention."""

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor, WanRotaryPosEmbed
from torch.nn.attention.flex_attention import flex_attention

from worldmodel.worldgen.attention import (
    AttentionPlan,
    ChunkMask,
    PlannedAttention,
    block_mask,
    dense_mask,
    masked_attention,
)
from worldmodel.worldgen.kv_cache import Span
from worldmodel.worldgen.rotary import rotary_table

CPU = torch.device("cpu")


def rows(mask: ChunkMask) -> list[str]:
    return ["".join("x" if sees else "." for sees in row) for row in mask.of_frames().tolist()]


def test_chunks_see_themselves_and_all_before() -> None:
    assert rows(ChunkMask(Span(2, 5), frames=5, tokens=1)) == ["x....", "xxx..", "xxx..", "xxxxx", "xxxxx"]


def test_beyond_the_window_chunks_see_the_sink_and_the_newest() -> None:
    expected = ["x.....", "xx....", "xxx...", "x.xx..", "x..xx.", "x...xx"]
    assert rows(ChunkMask(Span(1, 3), frames=6, tokens=1)) == expected


def test_teacher_forced_chunks_see_themselves_noisy_and_what_was_before_clean() -> None:
    assert rows(ChunkMask(Span(2, 5), frames=4, tokens=1, beside_clean=True)) == [
        "x.......",
        "xxx.....",
        "xxx.....",
        "xxxx....",
        "....x...",
        "x....xx.",
        "x....xx.",
        "xxx....x",
    ]


def test_a_latent_frame_s_tokens_share_its_row() -> None:
    dense = dense_mask(ChunkMask(Span(1, 2), frames=2, tokens=2), CPU)
    assert dense.tolist() == [[True, True, False, False]] * 2 + [[True] * 4] * 2


@pytest.mark.parametrize("beside_clean", [False, True])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_block_mask_for_cuda_means_what_the_dense_one_does(beside_clean: bool) -> None:
    torch.manual_seed(0)
    mask = ChunkMask(Span(2, 3), frames=6, tokens=13, beside_clean=beside_clean)
    length = 13 * (12 if beside_clean else 6)
    query, key = torch.randn(2, 2, 2, length, 16)
    value = torch.randn(2, 2, length, 8)
    dense = masked_attention(query, key, value, mask=mask, scale=0.3)
    flex = flex_attention(query, key, value, block_mask=block_mask(mask, CPU), scale=0.3)
    torch.testing.assert_close(flex, dense, rtol=1e-4, atol=1e-5)


def test_without_a_mask_it_is_the_published_attention() -> None:
    torch.manual_seed(0)
    attention = WanAttention(dim=24, heads=2, dim_head=12)
    hidden = torch.randn(3, 5 * 6, 24)
    rotary = WanRotaryPosEmbed(12, (1, 1, 1), 16)(torch.zeros(1, 1, 5, 2, 3))
    expected = WanAttnProcessor()(attention, hidden, None, None, rotary)
    table = rotary_table(range(5), (2, 3), 12)
    got = PlannedAttention()(attention, hidden.reshape(15, 6, 24), None, None, AttentionPlan(5, table, table))
    torch.testing.assert_close(got.reshape(3, 30, 24), expected, rtol=1e-4, atol=1e-5)
