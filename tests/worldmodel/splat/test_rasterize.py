"""The CPU rasterizer against the float64 brute force: values, gradients, and the rules at the edges."""

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.worldmodel.splat import oracle
from worldmodel.geometry.cameras import Cameras
from worldmodel.splat import Gaussians, Rendering, rasterize

FIELDS = ("means", "quats", "scales", "opacities", "colors")


def leaves(gaussians: Gaussians, dtype: torch.dtype) -> Gaussians:
    return Gaussians(*(getattr(gaussians, name).detach().to(dtype).requires_grad_() for name in FIELDS))


def cast(cameras: Cameras, dtype: torch.dtype) -> Cameras:
    return dataclasses.replace(cameras, world_from_camera=cameras.world_from_camera.to(dtype), Ks=cameras.Ks.to(dtype))


def weighted_sum(rendering: Rendering) -> Tensor:
    """A scalar that depends on every output; depth weighted by alpha, whose quotient is noise where alpha is 0."""
    generator = torch.Generator().manual_seed(7)
    weights = [torch.rand(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in rendering]
    depth = rendering.depth * rendering.alpha
    return (rendering.rgb * weights[0]).sum() + 0.1 * (depth * weights[1]).sum() + (rendering.alpha * weights[2]).sum()


def gradients(rendering: Rendering, gaussians: Gaussians) -> list[Tensor]:
    return list(torch.autograd.grad(weighted_sum(rendering), [getattr(gaussians, name) for name in FIELDS]))


def assert_same(gaussians: Gaussians, cameras: Cameras, dtype: torch.dtype, limit: float) -> None:
    expected_of, got_of = leaves(gaussians, torch.float64), leaves(gaussians, dtype)
    expected, got = oracle.render(expected_of, cameras), rasterize(got_of, cast(cameras, dtype))
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=limit * 10)
    for mine, theirs in zip(gradients(got, got_of), gradients(expected, expected_of), strict=True):
        assert float((mine - theirs).norm()) <= limit * float(theirs.norm()) + 1e-12


@pytest.mark.parametrize("seed", [0, 1])
def test_values_and_gradients_match_the_oracle_in_float64(seed: int) -> None:
    assert_same(*oracle.scene(60, (20, 28), seed, cameras=2), torch.float64, 1e-9)


def test_values_and_gradients_match_the_oracle_in_float32() -> None:
    assert_same(*oracle.scene(60, (20, 28), 2, cameras=2), torch.float32, 1e-5)


def test_pixels_that_are_full_stop_where_the_oracle_stops() -> None:
    gaussians, cameras = oracle.scene(80, (12, 12), 3, spread=4.0)
    opaque = dataclasses.replace(gaussians, opacities=torch.full((80,), 0.97, dtype=torch.float64))
    assert float(oracle.render(opaque, cameras).alpha.median()) > 0.9995
    assert_same(opaque, cameras, torch.float64, 1e-8)


def test_opacity_above_the_clamp_gets_no_gradient_where_it_is_clamped() -> None:
    gaussians, cameras = oracle.scene(10, (12, 12), 4, spread=2.0)
    solid = dataclasses.replace(gaussians, opacities=torch.full((10,), 0.99995, dtype=torch.float64))
    assert_same(solid, cameras, torch.float64, 1e-8)


def test_huge_splats_far_outside_the_view_match_the_oracle() -> None:
    gaussians, cameras = oracle.scene(20, (16, 24), 5)
    means = gaussians.means * torch.tensor([3.0, 3.0, 1.0])
    assert_same(dataclasses.replace(gaussians, means=means, scales=gaussians.scales * 8), cameras, torch.float64, 1e-8)


def test_gaussians_behind_the_camera_or_nearly_transparent_are_not_drawn() -> None:
    gaussians, cameras = oracle.scene(8, (16, 16), 6)
    behind = dataclasses.replace(gaussians, means=gaussians.means * torch.tensor([1.0, 1.0, -1.0]))
    faint = dataclasses.replace(gaussians, opacities=torch.full((8,), 0.0038, dtype=torch.float64))
    for nothing in (behind, faint):
        rendering = rasterize(nothing, cameras)
        assert float(rendering.alpha.abs().max()) == 0.0
        assert float(rendering.rgb.abs().max()) == 0.0


def test_no_gaussians_at_all_give_black_images() -> None:
    gaussians, cameras = oracle.scene(1, (10, 14), 0, cameras=2)
    empty = Gaussians(*(getattr(gaussians, name)[:0] for name in FIELDS))
    rendering = rasterize(empty, cameras)
    assert rendering.rgb.shape == (2, 10, 14, 3)
    assert float(rendering.alpha.sum()) == 0.0


def test_one_gaussian_gives_the_closed_form() -> None:
    f64 = torch.float64
    one = Gaussians(
        torch.tensor([[0.0, 0.0, 4.0]], dtype=f64),
        torch.tensor([[1.0, 0, 0, 0]], dtype=f64),
        torch.full((1, 3), 0.2, dtype=f64),
        torch.tensor([0.6], dtype=f64),
        torch.tensor([[1.0, 0.5, 0.25]], dtype=f64),
    )
    K = torch.tensor([[[20.0, 0, 4.5], [0, 20.0, 4.5], [0, 0, 1]]], dtype=f64)
    rendering = rasterize(one, Cameras(torch.eye(4, dtype=f64)[None], K, 9, 9))
    variance = (20 * 0.2 / 4) ** 2 + 0.3
    assert float(rendering.alpha[0, 4, 4]) == pytest.approx(0.6)  # the centre of pixel 4 is at 4.5
    expected = 0.6 * torch.exp(torch.tensor(-0.5 * 4 / variance, dtype=f64))
    assert float(rendering.alpha[0, 4, 6]) == pytest.approx(float(expected))
    assert rendering.rgb[0, 4, 6].tolist() == pytest.approx([float(expected) * c for c in (1.0, 0.5, 0.25)])
    assert float(rendering.depth[0, 4, 6]) == pytest.approx(4.0)


def test_the_nearer_of_two_covers_the_other_whatever_their_order() -> None:
    gaussians, cameras = oracle.scene(30, (16, 16), 8, spread=2.0)
    flipped = Gaussians(*(getattr(gaussians, name).flip(0) for name in FIELDS))
    torch.testing.assert_close(rasterize(flipped, cameras), rasterize(gaussians, cameras))


def test_features_of_any_width_are_drawn_like_colours() -> None:
    gaussians, cameras = oracle.scene(20, (16, 16), 9)
    wide = dataclasses.replace(gaussians, colors=gaussians.colors.repeat(1, 4))
    assert rasterize(wide, cameras).rgb.shape == (1, 16, 16, 12)
    torch.testing.assert_close(rasterize(wide, cameras).rgb[..., 9:], rasterize(gaussians, cameras).rgb)


def test_two_runs_give_the_same_bits() -> None:
    gaussians, cameras = oracle.scene(500, (32, 48), 10, cameras=3)
    first, second = leaves(gaussians, torch.float32), leaves(gaussians, torch.float32)
    renderings = [rasterize(g, cast(cameras, torch.float32)) for g in (first, second)]
    assert all(torch.equal(a, b) for a, b in zip(*renderings, strict=True))
    pairs = zip(gradients(renderings[0], first), gradients(renderings[1], second), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
