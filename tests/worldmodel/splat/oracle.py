"""Dense float64 brute force: every Gaussian at every pixel, autograd for the gradients. Slow and obvious."""

import math

import torch
from torch import Tensor

from worldmodel.geometry.cameras import Cameras
from worldmodel.splat import Gaussians, Rendering


def rotation(quat: Tensor) -> Tensor:
    w, x, y, z = quat / quat.norm()
    return torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ]
    )


def splat(mean: Tensor, covariance: Tensor, viewmat: Tensor, K: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Image-plane mean, inverse covariance and depth of one Gaussian, straight from the EWA formulas."""
    height, width = size
    x, y, z = viewmat[:3, :3] @ mean + viewmat[:3, 3]
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    slope_x = (x / z).clamp(-cx / fx - 0.15 * width / fx, (width - cx) / fx + 0.15 * width / fx)
    slope_y = (y / z).clamp(-cy / fy - 0.15 * height / fy, (height - cy) / fy + 0.15 * height / fy)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [torch.stack([fx / z, zero, -fx * slope_x / z]), torch.stack([zero, fy / z, -fy * slope_y / z])]
    )
    to_image = jacobian @ viewmat[:3, :3]
    covariance2d = to_image @ covariance @ to_image.T + 0.3 * torch.eye(2, dtype=z.dtype)
    return torch.stack([fx * x / z + cx, fy * y / z + cy]), torch.linalg.inv(covariance2d), z


def render(gaussians: Gaussians, cameras: Cameras, near: float = 0.01) -> Rendering:
    """One pixel colour at a time is what this computes; it is vectorised over pixels only."""
    height, width = cameras.height, cameras.width
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([columns, rows], -1).to(gaussians.means.dtype)
    images = []
    for viewmat, K in zip(torch.linalg.inv(cameras.world_from_camera), cameras.Ks, strict=True):
        in_front = (gaussians.means @ viewmat[2, :3] + viewmat[2, 3]).detach()
        colour = pixels.new_zeros(height, width, gaussians.colors.shape[1] + 1)
        transmittance = pixels.new_ones(height, width)
        going = torch.ones(height, width, dtype=torch.bool)
        for i in torch.sort(in_front.float(), stable=True).indices.tolist():
            if in_front[i] < near or gaussians.opacities[i] < 1 / 255:
                continue
            axes = rotation(gaussians.quats[i]) * gaussians.scales[i]
            mean, inverse, depth = splat(gaussians.means[i], axes @ axes.T, viewmat, K, (height, width))
            offset = pixels - mean
            sigma = 0.5 * torch.einsum("hwi,ij,hwj->hw", offset, inverse, offset)
            alpha = (gaussians.opacities[i] * torch.exp(-sigma)).clamp(max=0.999)
            counts = going & (alpha >= 1 / 255)
            stops = counts & (transmittance * (1 - alpha) <= 1e-4)
            going = going & ~stops
            alpha = torch.where(counts & ~stops, alpha, 0.0)
            feature = torch.cat([gaussians.colors[i], depth[None]])
            colour = colour + (transmittance * alpha)[..., None] * feature
            transmittance = transmittance * (1 - alpha)
        total = 1 - transmittance
        images.append((colour[..., :-1], colour[..., -1] / total.clamp(min=1e-10), total))
    return Rendering(*(torch.stack(parts) for parts in zip(*images, strict=True)))


def scene(
    count: int, size: tuple[int, int], seed: int, cameras: int = 1, spread: float = 1.0
) -> tuple[Gaussians, Cameras]:
    """Random Gaussians a few pixels wide before cameras that turn and shift a little; float64."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    height, width = size
    focal = 0.9 * width
    depth = 2 + 4 * uniform(count)
    pixel = (uniform(count, 2) * 1.1 - 0.05) * torch.tensor([width, height])
    means = torch.cat([(pixel - torch.tensor([width / 2, height / 2])) / focal * depth[:, None], depth[:, None]], -1)
    width_px = spread * math.sqrt(height * width / count) * torch.exp(0.8 * uniform(count, 3) - 0.4)
    gaussians = Gaussians(
        means=means,
        quats=uniform(count, 4) - 0.5,
        scales=width_px * depth[:, None] / focal,
        opacities=torch.sigmoid(4 * uniform(count) - 2),
        colors=uniform(count, 3),
    )
    poses = torch.eye(4, dtype=torch.float64).repeat(cameras, 1, 1)
    for index in range(cameras):
        angle = 0.05 * index
        poses[index, 0, :3] = torch.tensor([math.cos(angle), 0, -math.sin(angle)], dtype=torch.float64)
        poses[index, 2, :3] = torch.tensor([math.sin(angle), 0, math.cos(angle)], dtype=torch.float64)
        poses[index, 0, 3] = 0.2 * index
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return gaussians, Cameras(poses, K.repeat(cameras, 1, 1), height, width)
