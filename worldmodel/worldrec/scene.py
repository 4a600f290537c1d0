"""A reconstructed scene: Gaussians that move and fade, a sky, and the context's exposure."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from worldmodel.geometry.cameras import Cameras, full_precision
from worldmodel.splat import Gaussians, Rendering, rasterize
from worldmodel.worldrec.appearance import Exposure, Sky

NEAR_M, FAR_M = 0.2, 400.0


@dataclass(frozen=True)
class Scene:
    """In the frame of the reference ego pose; times in seconds from the reference frame.

    Attributes:
        gaussians: each at its own time.
        velocities: [N, 3] m/s.
        times_s: [N], when each Gaussian was seen.
        lifespans_s: [N]; opacity falls with the time from `times_s` like a bell curve of this width.
        sky, sky_token: the background.
        exposure: of the context views.
        depth_maps: predicted depth of the context views' evidence points after each stage of the model, [S, h, w].
    """

    gaussians: Gaussians
    velocities: Tensor
    times_s: Tensor
    lifespans_s: Tensor
    sky: Sky
    sky_token: Tensor
    exposure: Exposure
    depth_maps: tuple[Tensor, ...]

    def at(self, time_s: Tensor) -> Gaussians:
        """The Gaussians at one time."""
        elapsed = time_s - self.times_s
        fade = torch.exp(-0.5 * (elapsed / self.lifespans_s).square())
        means = self.gaussians.means + self.velocities * elapsed[:, None]
        return replace(self.gaussians, means=means, opacities=self.gaussians.opacities * fade)

    @full_precision
    def render(self, cameras: Cameras, times_s: Tensor) -> Rendering:
        """Images over the sky, expected z-depth and alpha of the Gaussians, for cameras at times [C]."""
        moments = sorted(set(times_s.tolist()))
        groups = [(times_s == moment).nonzero()[:, 0] for moment in moments]
        parts = [self._render_moment(cameras.select(index), times_s[index]) for index in groups]
        back = torch.argsort(torch.cat(groups))
        return Rendering(*(torch.cat(images)[back] for images in zip(*parts, strict=True)))

    def _render_moment(self, cameras: Cameras, times_s: Tensor) -> Rendering:
        rgb, depth, alpha = rasterize(self.at(times_s[0]), cameras, NEAR_M, FAR_M)
        rgb = rgb + (1 - alpha)[..., None] * self.sky(self.sky_token, cameras)
        return Rendering(rgb * self.exposure.at(cameras, times_s)[:, None, None], depth, alpha)
