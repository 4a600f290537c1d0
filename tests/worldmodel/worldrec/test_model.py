"""The network as a whole: any set of views in, a scene out, and nothing where nothing was seen."""

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml

from worldmodel.geometry.cameras import Cameras
from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.views import ClipTensors, Views


@pytest.fixture
def model(small: WorldRecConfig) -> WorldRec:
    torch.manual_seed(0)
    return WorldRec(small).requires_grad_(False)


def context_of(clip: ClipTensors, frames: tuple[int, ...]) -> Views:
    return clip.views(clip.all_cameras(frames), frames[0])


@pytest.mark.parametrize(("index", "frames"), [(0, (0,)), (0, (0, 5)), (0, (1, 3, 5, 7)), (2, (0, 2))])
def test_any_number_of_cameras_and_frames_will_do(
    model: WorldRec, clips: list[ClipTensors], index: int, frames: tuple[int, ...]
) -> None:
    context = context_of(clips[index], frames)
    scene = model(context)
    per_view = (16 // 4) * (24 // 4)
    assert len(scene.gaussians) == (len(context) * per_view + len(model.config.lattice)) * model.config.grid**2
    rendered = scene.render(context.cameras, context.times_s)
    assert rendered.rgb.shape == context.rgb.shape
    assert bool(torch.isfinite(rendered.rgb).all())


def test_image_sizes_need_not_be_multiples_of_the_stride(model: WorldRec) -> None:
    torch.manual_seed(3)
    K = torch.tensor([[[15.0, 0, 13.0], [0, 15.0, 9.0], [0, 0, 1]]]).expand(2, 3, 3)
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[1, 2, 3] = 0.5
    context = Views(torch.rand(2, 18, 26, 3), Cameras(poses, K, 18, 26), torch.tensor([0.0, 0.1]))
    rendered = model(context).render(context.cameras, context.times_s)
    assert rendered.rgb.shape == (2, 18, 26, 3)
    assert bool(torch.isfinite(rendered.rgb).all())


def test_the_order_of_the_views_does_not_matter(model: WorldRec, clips: list[ClipTensors]) -> None:
    context = context_of(clips[0], (0, 5))
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Views(context.rgb[order], context.cameras.select(order), context.times_s[order])
    first, second = model(context), model(shuffled)
    cameras, times = context.cameras, context.times_s
    torch.testing.assert_close(
        first.render(cameras, times).rgb, second.render(cameras, times).rgb, rtol=1e-3, atol=1e-4
    )


def test_the_world_may_be_anywhere(model: WorldRec, clips: list[ClipTensors]) -> None:
    """Everything is relative to the reference ego pose, so a rigid motion of the world changes nothing."""
    clip = clips[0]
    shift = torch.eye(4, dtype=torch.float64)
    shift[:2, :2] = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    shift[:3, 3] = torch.tensor([500.0, -200.0, 30.0])
    moved = dataclasses.replace(
        clip, world_from_camera=shift @ clip.world_from_camera, world_from_ego=shift @ clip.world_from_ego
    )
    here, there = model(context_of(clip, (0, 5))), model(context_of(moved, (0, 5)))
    torch.testing.assert_close(here.gaussians.means, there.gaussians.means, rtol=1e-3, atol=1e-3)


def test_queries_that_no_view_sees_are_silent(model: WorldRec, clips: list[ClipTensors]) -> None:
    scene = model(context_of(clips[0], (0, 5)))
    backwards = torch.tensor([[[0.0, 0, -1, 0], [1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]]])
    lattice = len(model.config.lattice) * model.config.grid**2
    behind = scene.gaussians.means[-lattice:, 0] < -3
    assert int(behind.sum()) > 10
    assert float(scene.gaussians.opacities[-lattice:][behind].max()) == 0.0
    assert bool(torch.isfinite(scene.gaussians.colors).all())
    rendered = scene.render(Cameras(backwards, context_of(clips[0], (0,)).cameras.Ks[:1], 16, 24), torch.zeros(1))
    assert float(rendered.alpha.max()) == 0.0


def test_depth_and_sky_of_the_context_are_never_looked_at(model: WorldRec, clips: list[ClipTensors]) -> None:
    context = context_of(clips[0], (0, 5))
    assert context.depth is not None
    blind = context.images_only()
    assert blind.depth is None and blind.sky is None
    assert torch.equal(model(context).gaussians.means, model(blind).gaussians.means)


def test_every_parameter_gets_a_gradient(small: WorldRecConfig, clips: list[ClipTensors]) -> None:
    torch.manual_seed(1)
    model = WorldRec(small)
    for parameter in model.parameters():  # off the zero initialisation, behind which some gradients vanish
        parameter.data += 0.02 * torch.randn_like(parameter)
    context = context_of(clips[0], (0, 5))
    scene = model(context)
    rendered = scene.render(context.cameras, context.times_s + 0.05)
    (rendered.rgb.square().sum() + rendered.depth.sum() + scene.velocities.square().sum()).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or float(p.grad.abs().sum()) == 0]
    assert silent == []


PAPER_FILE = Path(__file__).parents[3] / "profiles" / "paper.yaml"
PAPER = WorldRecConfig(**yaml.safe_load(PAPER_FILE.read_text())["train_worldrec"]["model"])


def test_the_paper_size_has_the_published_scale() -> None:
    """Shapes only, on the meta device: as many Gaussians as the published models use."""
    size, views = (320, 480), 12
    with torch.device("meta"):
        model = WorldRec(PAPER)
        pose = torch.eye(4).expand(views, 4, 4)
        context = Views(torch.empty(views, *size, 3), Cameras(pose, pose[:, :3, :3], *size), torch.empty(views))
        scene = model(context)
    evidence = views * (320 // 8) * (480 // 8) + 64 * 6 * 10
    assert scene.gaussians.means.shape == (evidence * 16, 3)
    assert scene.velocities.shape == scene.gaussians.scales.shape == (evidence * 16, 3)
    assert 300_000 < evidence * 16 < 600_000
    assert 15e6 < sum(parameter.numel() for parameter in model.parameters()) < 60e6
