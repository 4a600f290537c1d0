"""The training objective of WorldRec, as pure functions of renders and targets.

L1 + 0.2 (1 - SSIM) as in 3DGS; depth, sky, velocity and lifespan terms as in STORM, UFO and DGGT. A term whose target a
source does not have is left out of the sum. LPIPS is left out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from worldmodel.splat import Rendering
from worldmodel.worldrec.config import LossConfig
from worldmodel.worldrec.scene import Scene
from worldmodel.worldrec.views import Views

SSIM_WINDOW = 7


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity of images [S, H, W, 3] in [0, 1], over uniform windows inside the image."""
    a, b = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)
    mean_a, mean_b, square_a, square_b, product = F.avg_pool2d(
        torch.cat([a, b, a * a, b * b, a * b]), SSIM_WINDOW, stride=1
    ).chunk(5)
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (variance_a + variance_b + 9e-4)
    return (luminance * structure).mean()


def rendered_depth_loss(rendered: Rendering, depth: Tensor) -> Tensor:
    """Mean of |d - D| / (D + 2 m) where there is true depth D and the render is not empty; [S, H, W] in metres."""
    where = (depth > 0) & (rendered.alpha.detach() > 0.1)
    error = (rendered.depth - depth).abs() / (depth + 2)
    return (error * where).sum() / where.sum().clamp(min=1)


def evidence_depth_loss(predicted: Tensor, depth: Tensor) -> Tensor:
    """Mean |log d - log D| of depth maps [S, h, w] against the nearest valid true depth [S, H, W] in each patch."""
    patch = depth.shape[-1] // predicted.shape[-1]
    nearest = -F.max_pool2d(torch.where(depth > 0, -depth, -torch.inf)[:, None], patch, ceil_mode=True)[:, 0]
    where = nearest < torch.inf
    error = (predicted.log() - torch.where(where, nearest, 1.0).log()).abs()
    return (error * where).sum() / where.sum().clamp(min=1)


def objective(
    scene: Scene, rendered: Rendering, context: Views, target: Views, config: LossConfig
) -> dict[str, Tensor]:
    """The parts of the loss, already weighted; the loss is their sum."""
    parts = {
        "l1": (rendered.rgb - target.rgb).abs().mean(),
        "ssim": config.ssim * (1 - ssim(rendered.rgb, target.rgb)),
        "velocity": config.velocity * scene.velocities.square().sum(-1).mean(),
        "lifespan": config.lifespan * (1 / scene.lifespans_s).mean(),
    }
    if target.depth is not None:
        parts["depth"] = config.depth * rendered_depth_loss(rendered, target.depth)
    if target.sky is not None:
        parts["sky"] = config.sky * (rendered.alpha - (~target.sky).float()).abs().mean()
    if context.depth is not None:
        maps = torch.stack([evidence_depth_loss(maps, context.depth) for maps in scene.depth_maps])
        parts["evidence_depth"] = config.evidence_depth * maps.mean()
    return parts


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image [S, H, W, 3] in [0, 1]: [S]."""
    return -10 * (a.clamp(0, 1) - b).square().mean((1, 2, 3)).clamp(min=1e-10).log10()
