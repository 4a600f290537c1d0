"""Visibility, masked softmax and projection, by hand."""

import math

import pytest
import torch

from worldmodel.geometry.cameras import sample_maps
from worldmodel.worldrec.config import LatticeConfig, WorldRecConfig
from worldmodel.worldrec.fusion import RaysInCameras, look, masked_softmax, soft_visibility
from worldmodel.worldrec.queries import lattice_rays, make_queries
from worldmodel.worldrec.views import ClipTensors, Views


def context_of(clip: ClipTensors) -> Views:
    return clip.views(clip.all_cameras((0, 5)), 0)


def test_a_point_is_visible_up_to_the_surface_and_fades_behind_it() -> None:
    depth = torch.tensor([5.0, 10.0, 10.8, 11.6])
    tolerance = 0.05 * depth + 0.3
    expected = [1.0, 1.0, 1.0, math.exp(-(1.6 - float(tolerance[3])) / float(tolerance[3]))]
    assert soft_visibility(depth, torch.tensor(10.0)).tolist() == pytest.approx(expected)


def test_masked_softmax_ignores_invalid_views_and_is_zero_where_there_are_none() -> None:
    scores = torch.tensor([1.0, 2.0, 50.0])[:, None, None].expand(3, 2, 1)
    valid = torch.tensor([[True, False], [True, False], [False, False]])
    weights = masked_softmax(scores, valid)[..., 0]
    first = 1 / (1 + math.e)
    assert weights[:, 0].tolist() == pytest.approx([first, 1 - first, 0.0])
    assert weights[:, 1].tolist() == [0.0, 0.0, 0.0]


def test_masked_softmax_without_any_valid_view_has_finite_gradients() -> None:
    scores = torch.zeros(3, 2, 1, requires_grad=True)
    masked_softmax(scores, torch.zeros(3, 2, dtype=torch.bool)).sum().backward()
    assert scores.grad is not None
    assert float(scores.grad.abs().sum()) == 0.0


def test_evidence_points_project_back_to_their_own_pixels(clips: list[ClipTensors]) -> None:
    context, config = context_of(clips[0]), WorldRecConfig(channels=(8, 16), width=8, levels=1, evidence_stride=4)
    depth = torch.full((4, 4, 6), 7.0)
    queries = make_queries(context, context.rgb.permute(0, 3, 1, 2), depth, config)
    rays = RaysInCameras(queries, context, torch.zeros(len(queries), 3))
    uv, z, valid = rays.at(queries.depth)
    u = (torch.arange(6) + 0.5) / 6 * 2 - 1
    for view in range(4):
        own = slice(view * 24, (view + 1) * 24)
        torch.testing.assert_close(uv[view, own, 0].reshape(4, 6), u.expand(4, 6), atol=1e-5, rtol=0)
        torch.testing.assert_close(z[view, own], torch.full((24,), 7.0), atol=1e-5, rtol=0)
        assert bool(valid[view, own].all())
        assert not bool(rays.parallax[view, own].any())


def test_true_depth_looks_up_the_same_colour_in_other_views(clips: list[ClipTensors]) -> None:
    """Geometry from end to end: image, rays, projection and lookup agree on where things are."""
    context, config = context_of(clips[0]), WorldRecConfig(channels=(8, 16), width=8, evidence_stride=2, grid=1)
    assert context.depth is not None
    images = context.rgb.permute(0, 3, 1, 2)
    depth = torch.nn.functional.avg_pool2d(context.depth[:, None], 2)[:, 0]
    solid = torch.nn.functional.avg_pool2d((context.depth > 0).float()[:, None], 2)[:, 0] == 1

    def error(scale: float) -> float:
        queries = make_queries(context, images, torch.where(solid, depth, 50.0) * scale, config)
        rays = RaysInCameras(queries, context, torch.zeros(len(queries), 3))
        seen = look(queries, rays, context)
        colors = sample_maps(images, seen.uv)
        use = seen.valid & rays.parallax & (seen.vis > 0.9)
        use[:, : queries.n_evidence] &= solid.flatten()
        use[:, queries.n_evidence :] = False
        return float((colors - queries.colors[:, 0]).abs().mean(-1)[use].median())

    assert error(1.0) < 0.05
    assert error(1.0) < 0.5 * error(1.3)
    assert error(1.0) < 0.5 * error(0.7)


def test_moving_points_are_projected_where_they_are_at_the_time_of_each_view(clips: list[ClipTensors]) -> None:
    context, config = context_of(clips[0]), WorldRecConfig(channels=(8, 16), width=8)
    queries = make_queries(context, context.rgb.permute(0, 3, 1, 2), torch.full((4, 4, 6), 7.0), config)
    velocity = torch.tensor([1.0, 2.0, 0.0]).expand(len(queries), 3)
    still, moving = (RaysInCameras(queries, context, v) for v in (torch.zeros_like(velocity), velocity))
    elapsed = context.times_s[:, None] - queries.time_s
    expected = elapsed[..., None] * (velocity @ context.cameras.viewmats[:, :3, :3].transpose(1, 2))
    torch.testing.assert_close(moving.base - still.base, expected, atol=1e-5, rtol=0)
    assert float(expected.abs().max()) > 0.5


def test_the_lattice_surrounds_the_rig_on_log_spaced_shells() -> None:
    config = LatticeConfig(azimuths=8, pitches=3, shells=3, near_m=4.0, far_m=64.0)
    direction, distance, size = lattice_rays(config)
    assert len(direction) == len(config) == 72
    assert distance.unique().tolist() == pytest.approx([4.0, 16.0, 64.0])
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(72))
    torch.testing.assert_close(direction[:, :2].mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    assert float(size[0]) == pytest.approx(math.pi / 4)
