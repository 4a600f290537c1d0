"""Posed images as tensors, in the frame of the reference ego pose: the ego at the first context frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from worldmodel.data.schema import Clip
from worldmodel.errors import DataError
from worldmodel.geometry.cameras import Cameras
from worldmodel.geometry.poses import invert_pose


@dataclass(frozen=True)
class Views:
    """S posed images; what a source does not have is None.

    Attributes:
        rgb: [S, H, W, 3] in [0, 1].
        cameras: S cameras in the reference frame.
        times_s: [S].
        depth: [S, H, W] metres, 0 = none.
        sky: [S, H, W] bool.
    """

    rgb: Tensor
    cameras: Cameras
    times_s: Tensor
    depth: Tensor | None = None
    sky: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rgb)

    def to(self, device: torch.device) -> "Views":
        depth = None if self.depth is None else self.depth.to(device)
        sky = None if self.sky is None else self.sky.to(device)
        return Views(self.rgb.to(device), self.cameras.to(device), self.times_s.to(device), depth, sky)

    def images_only(self) -> "Views":
        """What a model may look at."""
        return replace(self, depth=None, sky=None)


@dataclass(frozen=True)
class ClipTensors:
    """A clip's frames in memory; rgb stays uint8 and depth float16 until a view is taken.

    Attributes:
        frames: index of each held frame in the stored clip.
        world_from_ego: [T, 4, 4] float64.
    """

    clip_id: str
    source: str
    frames: tuple[int, ...]
    rgb: Tensor
    Ks: Tensor
    world_from_camera: Tensor
    world_from_ego: Tensor
    times_s: Tensor
    depth: Tensor | None
    sky: Tensor | None

    @classmethod
    def from_clip(cls, clip: Clip, frames: Sequence[int]) -> "ClipTensors":
        """Raises DataError for a clip without poses, which WorldRec cannot use."""
        if clip.Ks is None or clip.world_from_camera is None or clip.world_from_ego is None:
            raise DataError(
                f"clip {clip.clip_id} has no camera poses",
                expected="Ks, world_from_camera and world_from_ego",
                fix="leave this source out of WorldRec; video-only clips are for WorldGen",
            )
        return cls(
            clip.clip_id,
            clip.source,
            tuple(frames),
            torch.from_numpy(np.ascontiguousarray(clip.rgb)),
            torch.from_numpy(clip.Ks).float(),
            torch.from_numpy(clip.world_from_camera).double(),
            torch.from_numpy(clip.world_from_ego).double(),
            torch.from_numpy(clip.times_s).double(),
            None if clip.depth is None else torch.from_numpy(clip.depth).half(),
            None if clip.sky is None else torch.from_numpy(clip.sky),
        )

    def views(self, pairs: Sequence[tuple[int, int]], reference: int) -> Views:
        """The images at (held frame, camera) `pairs`, in the ego frame of held frame `reference`; its time is 0."""
        frame, camera = (torch.tensor(index) for index in zip(*pairs, strict=True))
        reference_from_world = torch.from_numpy(invert_pose(self.world_from_ego[reference].numpy()))
        poses = (reference_from_world @ self.world_from_camera[frame, camera]).float()
        _, _, height, width, _ = self.rgb.shape
        return Views(
            self.rgb[frame, camera].float() / 255,
            Cameras(poses, self.Ks[camera], height, width),
            (self.times_s[frame] - self.times_s[reference]).float(),
            None if self.depth is None else self.depth[frame, camera].float(),
            None if self.sky is None else self.sky[frame, camera],
        )

    def all_cameras(self, frames: Sequence[int]) -> list[tuple[int, int]]:
        """(frame, camera) pairs of whole frames, frame-major."""
        return [(frame, camera) for frame in frames for camera in range(self.rgb.shape[1])]
