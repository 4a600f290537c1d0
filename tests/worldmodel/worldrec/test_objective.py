"""Every part of the loss, against numbers worked out by hand or by an independent implementation."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from worldmodel.splat import Rendering
from worldmodel.worldrec.config import LossConfig, WorldRecConfig
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.objective import evidence_depth_loss, objective, psnr, rendered_depth_loss, ssim
from worldmodel.worldrec.views import ClipTensors


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_identical_images_have_ssim_one_and_others_less() -> None:
    image = noise(2, 12, 12, 3)
    assert float(ssim(image, image)) == pytest.approx(1.0, abs=1e-5)
    assert float(ssim(image, 1 - image)) < 0


def test_ssim_matches_scikit_image_inside_the_border() -> None:
    a, b = noise(1, 16, 16, 3), noise(1, 16, 16, 3, seed=1)
    _, full = structural_similarity(
        a[0].numpy(), b[0].numpy(), win_size=7, data_range=1.0, channel_axis=2, full=True, use_sample_covariance=False
    )
    assert float(ssim(a, b)) == pytest.approx(float(full[3:-3, 3:-3].mean()), abs=1e-4)


def test_rendered_depth_loss_is_relative_and_counts_only_what_is_known() -> None:
    rendered = Rendering(
        torch.zeros(1, 1, 4, 3), torch.tensor([[[10.0, 6.0, 3.0, 9.0]]]), torch.tensor([[[1.0, 1.0, 1.0, 0.05]]])
    )
    depth = torch.tensor([[[8.0, 8.0, 0.0, 1.0]]])  # third unknown, fourth not rendered
    assert float(rendered_depth_loss(rendered, depth)) == pytest.approx((2 / 10 + 2 / 10) / 2)


def test_rendered_depth_loss_without_any_depth_is_zero_with_zero_gradient() -> None:
    depth = torch.ones(1, 2, 2, requires_grad=True)
    loss = rendered_depth_loss(Rendering(torch.zeros(1, 2, 2, 3), depth, torch.ones(1, 2, 2)), torch.zeros(1, 2, 2))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert depth.grad is not None and float(depth.grad.abs().sum()) == 0.0


def test_evidence_depth_loss_compares_with_the_nearest_known_depth_of_each_patch() -> None:
    depth = torch.tensor([[[0.0, 4.0, 0.0, 0.0], [8.0, 0.0, 0.0, 0.0]]])
    predicted = torch.tensor([[[2.0, 5.0]]])  # the second patch has no depth
    assert float(evidence_depth_loss(predicted, depth)) == pytest.approx(math.log(2))


def test_psnr_of_a_known_error() -> None:
    image = torch.full((1, 4, 4, 3), 0.5)
    assert float(psnr(image, image + 0.1)) == pytest.approx(20.0, abs=1e-3)


def test_the_parts_are_weighted_and_absent_targets_leave_theirs_out(
    small: WorldRecConfig, clips: list[ClipTensors]
) -> None:
    torch.manual_seed(0)
    model = WorldRec(small).requires_grad_(False)
    context = clips[0].views(clips[0].all_cameras((0, 5)), 0)
    scene = model(context)
    scene = dataclasses.replace(
        scene,
        velocities=torch.tensor([3.0, 4.0, 0.0]).expand(len(scene.velocities), 3),
        lifespans_s=torch.full_like(scene.lifespans_s, 0.5),
    )
    rendered = Rendering(context.rgb + 0.1, torch.zeros_like(context.rgb[..., 0]), torch.ones(context.rgb.shape[:3]))
    parts = objective(scene, rendered, context, context, LossConfig(velocity=0.01, lifespan=0.3, sky=0.5))
    assert float(parts["l1"]) == pytest.approx(0.1, abs=1e-6)
    assert float(parts["velocity"]) == pytest.approx(0.25)
    assert float(parts["lifespan"]) == pytest.approx(0.6)
    assert context.sky is not None
    assert float(parts["sky"]) == pytest.approx(0.5 * float(context.sky.float().mean()), abs=1e-6)
    assert set(parts) == {"l1", "ssim", "velocity", "lifespan", "depth", "sky", "evidence_depth"}
    bare = context.images_only()
    assert set(objective(scene, rendered, bare, bare, LossConfig())) == {"l1", "ssim", "velocity", "lifespan"}


def test_true_depth_has_no_evidence_loss_at_full_resolution() -> None:
    depth = torch.from_numpy(np.random.default_rng(0).uniform(1, 50, (2, 4, 4)))
    assert float(evidence_depth_loss(depth, depth)) == pytest.approx(0.0, abs=1e-9)
