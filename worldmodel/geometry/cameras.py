"""Pinhole cameras in torch: rays, poses and lookups at image coordinates.

Poses are `target_from_source` [..., 4, 4]; cameras look along +z with x right and y down; pixel centres are at +0.5, so
`grid_sample(align_corners=False)` reads a map of any resolution at `pixel / size * 2 - 1`. The numpy counterpart for
data is `worldmodel.geometry.poses`. Lens distortion and rolling shutter are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Runs a function outside autocast: half precision is for features, never for coordinates."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return function(*args, **kwargs)

    return inner


@dataclass(frozen=True)
class Cameras:
    """C pinhole cameras that share one image size.

    Attributes:
        world_from_camera: [C, 4, 4].
        Ks: [C, 3, 3], pixels of a `height` x `width` image.
    """

    world_from_camera: Tensor
    Ks: Tensor
    height: int
    width: int

    @property
    def viewmats(self) -> Tensor:
        """[C, 4, 4] camera_from_world."""
        return invert_pose(self.world_from_camera)

    def resized(self, height: int, width: int) -> "Cameras":
        """The same cameras with images of another size."""
        scale = self.Ks.new_tensor([width / self.width, height / self.height, 1.0])
        return Cameras(self.world_from_camera, self.Ks * scale[:, None], height, width)

    def to(self, device: torch.device) -> "Cameras":
        return Cameras(self.world_from_camera.to(device), self.Ks.to(device), self.height, self.width)

    def select(self, index: Tensor) -> "Cameras":
        """Some of the cameras."""
        return Cameras(self.world_from_camera[index], self.Ks[index], self.height, self.width)


def invert_pose(pose: Tensor) -> Tensor:
    """`source_from_target` of a rigid `target_from_source` [..., 4, 4]."""
    rotation = pose[..., :3, :3].transpose(-1, -2)
    translation = -rotation @ pose[..., :3, 3:]
    return torch.cat([torch.cat([rotation, translation], -1), pose[..., 3:, :]], -2)


@full_precision
def pixel_rays(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """World-frame origins [C, 3] and directions [C, H, W, 3] through the pixel centres.

    Directions have z = 1 in the camera frame, so `origin + z_depth * direction` is the point.
    """
    Ks, pose = cameras.Ks, cameras.world_from_camera
    columns = torch.arange(cameras.width, device=Ks.device, dtype=Ks.dtype) + 0.5
    rows = torch.arange(cameras.height, device=Ks.device, dtype=Ks.dtype) + 0.5
    x = (columns - Ks[:, 0, 2, None]) / Ks[:, 0, 0, None]
    y = (rows - Ks[:, 1, 2, None]) / Ks[:, 1, 1, None]
    x = x[:, None, :].expand(-1, cameras.height, -1)
    y = y[:, :, None].expand(-1, -1, cameras.width)
    directions = torch.stack([x, y, torch.ones_like(x)], -1) @ pose[:, None, :3, :3].transpose(-1, -2)
    return pose[:, :3, 3], directions


@full_precision
def pluecker_rays(cameras: Cameras, length_m: float) -> Tensor:
    """[C, 6, H, W]: unit ray directions and their moments about the world origin, in units of `length_m`."""
    origins, directions = pixel_rays(cameras)
    directions = F.normalize(directions, dim=-1)
    moments = torch.cross((origins / length_m)[:, None, None].expand_as(directions), directions, dim=-1)
    return torch.cat([directions, moments], -1).permute(0, 3, 1, 2)


def sample_maps(maps: Tensor, uv: Tensor) -> Tensor:
    """Bilinear lookup of maps [C, D, h, w] at image coordinates [C, N, 2]: [C, N, D]; the border value outside."""
    grid = uv.clamp(-2, 2)[:, :, None]
    return F.grid_sample(maps, grid, align_corners=False, padding_mode="border")[..., 0].transpose(1, 2)
