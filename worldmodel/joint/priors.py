"""Rendered priors: what a scene reconstructed from the past shows from the poses to come (report, section 3.3).

Where nothing was reconstructed the image is black and its alpha low: holes that a generator has to fill. Left out:
moving objects that follow their boxes, degradations of the render, histories of varied length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.worldrec.inference import Context, Reconstruction, reconstruct
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.views import ClipTensors

HISTORY = (0,)  # the frames that a scene is reconstructed from: all cameras of the clip's first
COVERED = 128  # the least stored alpha that counts as covered: more than half


@dataclass(frozen=True)
class Prior:
    """Renders of T frames from V cameras: rgb [T, V, H, W, 3] (black where not covered) and alpha [T, V, H, W], of 255.

    The first frame is in `HISTORY`, so what is measured is measured on the others.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """[T, V, H, W]: where the prior says something."""
        return self.alpha >= COVERED

    def coverage(self) -> float:
        """Share of covered pixels after the first frame."""
        return float(self.covered[1:].mean())

    def psnr(self, truth: NDArray[np.uint8]) -> float | None:
        """In dB, over all covered pixels after the first frame of [T, V, H, W, 3]; None without one, or if exact."""
        mask = self.covered[1:]
        error = (self.rgb[1:][mask].astype(np.float64) - truth[1:][mask]) / 255
        return float(-10 * np.log10(np.square(error).mean())) if error.any() else None


def render_prior(model: WorldRec, clip: ClipTensors, cameras: Sequence[int], fade: bool) -> Prior:
    """Reconstructs the clip's `HISTORY`, all cameras, and renders all its frames from some cameras.

    Reads images of `HISTORY` alone, and poses of all frames: those to come are the plan.
    """
    scene = reconstruct(model, Context.from_clip(clip, HISTORY))
    if not fade:
        scene = _lasting(scene)
    chosen = list(cameras)
    Ks, size = clip.Ks.double().numpy()[chosen], (clip.rgb.shape[2], clip.rgb.shape[3])
    rgb, alpha = [], []
    for poses, time_s in zip(clip.world_from_camera.numpy(), clip.times_s.tolist(), strict=True):
        images = scene.render(poses[chosen], Ks, np.full(len(chosen), time_s), size)
        alpha.append(np.rint(255 * images.alpha.clip(0, 1)).astype(np.uint8))
        rgb.append(np.where(alpha[-1][..., None] >= COVERED, images.rgb, np.uint8(0)))
    return Prior(np.stack(rgb), np.stack(alpha))


def _lasting(reconstruction: Reconstruction) -> Reconstruction:
    """The same scene with Gaussians that do not fade."""
    scene = reconstruction.scene
    return replace(reconstruction, scene=replace(scene, lifespans_s=torch.full_like(scene.lifespans_s, torch.inf)))
