"""gsplat on CUDA behind the same call. Not run on machines without a GPU; a test marked `gpu` checks parity."""

from typing import Any

from worldmodel.errors import MissingDependencyError
from worldmodel.geometry.cameras import Cameras
from worldmodel.splat.gaussians import Gaussians, Rendering


def gsplat_arguments(gaussians: Gaussians, cameras: Cameras, near: float, far: float) -> dict[str, Any]:
    """Keyword arguments of `gsplat.rasterization` for our conventions."""
    return {
        "means": gaussians.means,
        "quats": gaussians.quats,
        "scales": gaussians.scales,
        "opacities": gaussians.opacities,
        "colors": gaussians.colors,
        "viewmats": cameras.viewmats,
        "Ks": cameras.Ks,
        "width": cameras.width,
        "height": cameras.height,
        "near_plane": near,
        "far_plane": far,
        "render_mode": "RGB+ED",
        "packed": False,
        "rasterize_mode": "classic",
    }


def rasterize_cuda(gaussians: Gaussians, cameras: Cameras, near: float, far: float) -> Rendering:
    """See `worldmodel.splat.rasterize`."""
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise MissingDependencyError(
            "gsplat is not installed, and it draws Gaussians on CUDA",
            fix='pip install "worldmodel[cuda]", or move the tensors to the CPU',
        ) from error
    image, alpha, _ = rasterization(**gsplat_arguments(gaussians, cameras, near, far))
    return Rendering(image[..., :-1], image[..., -1], alpha[..., 0])
