"""The small API that the reconstruct stage and the registered model use."""

import numpy as np
import torch

from worldmodel.worldrec.config import WorldRecConfig
from worldmodel.worldrec.inference import Context, reconstruct
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.views import ClipTensors


def test_a_reconstruction_renders_in_world_coordinates_on_the_clock_of_its_context(
    small: WorldRecConfig, clips: list[ClipTensors]
) -> None:
    torch.manual_seed(0)
    model, clip = WorldRec(small).eval().requires_grad_(False), clips[0]
    reconstruction = reconstruct(model, Context.from_clip(clip, (2, 6)))
    poses, Ks = clip.world_from_camera[4].numpy(), clip.Ks.double().numpy()
    images = reconstruction.render(poses, Ks, np.full(2, 0.4), (16, 24))
    assert images.rgb.shape == (2, 16, 24, 3) and images.rgb.dtype == np.uint8

    views = clip.views(clip.all_cameras((2, 6)), reference=2)
    target = clip.views(clip.all_cameras((4,)), reference=2)
    expected = model(views).render(target.cameras, target.times_s)
    np.testing.assert_allclose(images.alpha, expected.alpha.numpy(), atol=1e-4)
    assert np.abs(images.rgb / 255 - expected.rgb.clamp(0, 1).numpy()).max() < 0.005


def test_images_of_any_size_can_be_rendered_and_empty_pixels_have_no_depth(
    small: WorldRecConfig, clips: list[ClipTensors]
) -> None:
    torch.manual_seed(0)
    model, clip = WorldRec(small).eval().requires_grad_(False), clips[0]
    reconstruction = reconstruct(model, Context.from_clip(clip, (0,)))
    Ks = clip.Ks.double().numpy() * np.array([2.0, 2.0, 1.0])[:, None]
    images = reconstruction.render(clip.world_from_camera[0].numpy(), Ks, np.zeros(2), (32, 48))
    assert images.depth.shape == images.alpha.shape == (2, 32, 48)
    assert bool((images.depth[images.alpha < 0.5] == 0).all())
    assert bool((images.depth[images.alpha >= 0.5] > 0.5).all())


def test_gaussians_come_out_after_activation(small: WorldRecConfig, clips: list[ClipTensors]) -> None:
    torch.manual_seed(0)
    tensors = reconstruct(WorldRec(small), Context.from_clip(clips[2], (0, 2))).tensors()
    count = len(tensors["means"])
    shapes = {"means": 3, "quats": 4, "scales": 3, "colors": 3, "velocities": 3}
    assert all(tensors[name].shape == (count, width) for name, width in shapes.items())
    assert all(tensors[name].shape == (count,) for name in ("opacities", "times_s", "lifespans_s"))
    assert float(tensors["scales"].min()) > 0 and float(tensors["lifespans_s"].min()) > 0
    assert float(tensors["opacities"].min()) >= 0 and float(tensors["opacities"].max()) <= 1
    assert float(tensors["colors"].min()) >= 0 and float(tensors["colors"].max()) <= 1
