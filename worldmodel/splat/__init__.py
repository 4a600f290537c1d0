"""Gaussian splatting: one call, gsplat on CUDA and a pure-PyTorch reference on the CPU."""

from worldmodel.geometry.cameras import Cameras
from worldmodel.splat.gaussians import Gaussians, Rendering

__all__ = ["Gaussians", "Rendering", "rasterize"]


def rasterize(gaussians: Gaussians, cameras: Cameras, near: float = 0.01, far: float = 1e10) -> Rendering:
    """Draws N Gaussians into C cameras, differentiably, on the device that the tensors are on.

    Args:
        near, far: Gaussians whose centre's z-depth in metres lies outside are not drawn.
    """
    if gaussians.means.is_cuda:
        from worldmodel.splat.cuda import rasterize_cuda

        return rasterize_cuda(gaussians, cameras, near, far)
    from worldmodel.splat.reference import rasterize_reference

    return rasterize_reference(gaussians, cameras, near, far)
