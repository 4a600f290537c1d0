"""What every clip must be before it is written: shapes, types, finite numbers, rigid poses, increasing times.

This is the schema's contract, for adapters' output. Whether the data are good (gaps, ranges, agreement of depth and
poses) is the validate stage's question.
"""

import re

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.schema import Box, Clip, Float
from worldmodel.errors import DataError

NAME = re.compile(r"[A-Za-z0-9_-]+")
MAX_ID_LENGTH = 64
MAX_CAMERA_LENGTH = 40
_RIGID_TOLERANCE = 1e-5


def validate_clip(clip: Clip) -> None:
    """Checks a clip against the schema.

    Raises:
        DataError: naming the clip and the field.
    """
    check = _Checker(clip)
    check.identity()
    check.pixels()
    check.calibration()
    check.depth_and_masks()
    check.annotations()


def check_name(what: str, name: str, longest: int = MAX_ID_LENGTH) -> None:
    """Raises DataError unless a name is fit to be part of a tar member's name."""
    if not NAME.fullmatch(name) or len(name) > longest:
        raise DataError(f"{what} is not a usable name", expected=f"1 to {longest} of A-Z a-z 0-9 _ -", got=repr(name))


class _Checker:
    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.T, self.V = len(clip.times_s), len(clip.cameras)

    def require(self, condition: bool, field: str, expected: str, got: object) -> None:
        if not condition:
            raise DataError(
                f"clip {self.clip.clip_id}: field {field} breaks the schema", expected=expected, got=str(got)
            )

    def array(
        self, field: str, value: NDArray[np.generic], dtype: type[np.generic], shape: tuple[int | None, ...]
    ) -> None:
        """Type, shape (None = any length) and finiteness of one array."""
        fits = len(value.shape) == len(shape) and all(
            n is None or n == m for n, m in zip(shape, value.shape, strict=True)
        )
        wanted = ["any" if n is None else n for n in shape]
        expected = f"{dtype.__name__} {wanted}"
        self.require(fits and value.dtype == dtype, field, expected, f"{value.dtype} {list(value.shape)}")
        if np.issubdtype(dtype, np.floating):
            self.require(bool(np.isfinite(value).all()), field, "finite numbers", "NaN or infinity")

    def identity(self) -> None:
        clip = self.clip
        check_name(f"clip {clip.clip_id}: clip_id", clip.clip_id)
        check_name(f"clip {clip.clip_id}: log_id", clip.log_id)
        check_name(f"clip {clip.clip_id}: source", clip.source)
        for camera in clip.cameras:
            check_name(f"clip {clip.clip_id}: camera", camera, MAX_CAMERA_LENGTH)
        self.require(self.V > 0 and len(set(clip.cameras)) == self.V, "cameras", "distinct names", clip.cameras)
        self.require(bool(clip.licence.strip()), "licence", "a licence's name", repr(clip.licence))
        self.require(np.isfinite(clip.rate_hz) and clip.rate_hz > 0, "rate_hz", "a positive rate", clip.rate_hz)
        texts = all(isinstance(text, str) for pair in clip.tags.items() for text in pair)
        self.require(texts, "tags", "text to text", dict(clip.tags))

    def pixels(self) -> None:
        clip = self.clip
        self.array("times_s", clip.times_s, np.float64, (None,))
        self.require(self.T > 0, "times_s", "at least one frame", "none")
        self.require(clip.times_s[0] == 0, "times_s", "seconds from the first frame, so 0 first", clip.times_s[0])
        self.require(bool((np.diff(clip.times_s) > 0).all()), "times_s", "strictly increasing", clip.times_s.tolist())
        self.array("rgb", clip.rgb, np.uint8, (self.T, self.V, None, None, 3))
        if clip.layout_rgb is not None:
            self.array("layout_rgb", clip.layout_rgb, np.uint8, clip.rgb.shape)

    def calibration(self) -> None:
        clip = self.clip
        if clip.Ks is not None:
            self.array("Ks", clip.Ks, np.float64, (self.V, 3, 3))
            pinhole = (
                (clip.Ks[:, 2] == (0, 0, 1)).all() and (clip.Ks[:, 0, 0] > 0).all() and (clip.Ks[:, 1, 1] > 0).all()
            )
            self.require(bool(pinhole), "Ks", "positive focal lengths, last row 0 0 1", clip.Ks.tolist())
        if clip.world_from_camera is not None:
            self.array("world_from_camera", clip.world_from_camera, np.float64, (self.T, self.V, 4, 4))
            self.rigid("world_from_camera", clip.world_from_camera)
        if clip.world_from_ego is not None:
            self.array("world_from_ego", clip.world_from_ego, np.float64, (self.T, 4, 4))
            self.rigid("world_from_ego", clip.world_from_ego)
            upright = clip.world_from_ego[:, 2, 2].min()
            self.require(
                upright > 0.5, "world_from_ego", "z up in the ego frame and in the world", f"cosine {upright:.3f}"
            )

    def rigid(self, field: str, poses: Float) -> None:
        rotation = poses[..., :3, :3]
        error = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max(initial=0.0)
        proper = error < _RIGID_TOLERANCE and bool((np.linalg.det(rotation) > 0).all())
        self.require(proper, field, "right-handed orthonormal rotations", f"an error of {error:.2g}")
        self.require(bool((poses[..., 3, :] == (0, 0, 0, 1)).all()), field, "last rows 0 0 0 1", "other rows")

    def depth_and_masks(self) -> None:
        clip = self.clip
        image: tuple[int | None, ...] = clip.rgb.shape[:4]
        has_depth = clip.depth is not None
        self.require(
            has_depth == (clip.depth_kind is not None), "depth_kind", "one with depth, none without", clip.depth_kind
        )
        if clip.depth is not None:
            self.array("depth", clip.depth, np.float32, image)
            self.require(bool((clip.depth >= 0).all()), "depth", "metres >= 0 (0 = none)", clip.depth.min(initial=0))
        for field, mask in (("sky", clip.sky), ("dynamic", clip.dynamic)):
            if mask is not None:
                self.array(field, mask, np.bool_, image)

    def annotations(self) -> None:
        clip = self.clip
        for field, per_frame in (("points", clip.points), ("boxes", clip.boxes)):
            if per_frame is not None:
                self.require(len(per_frame) == self.T, field, f"one entry for each of {self.T} frames", len(per_frame))
        for points in clip.points or ():
            self.array("points", points, np.float32, (None, 3))
        for boxes in clip.boxes or ():
            for box in boxes:
                self.box(box)
        for lane in clip.lanes or ():
            self.array("lanes", lane, np.float64, (None, 3))

    def box(self, box: Box) -> None:
        field = f"boxes[{box.track_id}]"
        self.require(
            bool(box.track_id) and box.category == box.category.lower() != "", field, "a lower-case category", box
        )
        self.array(field, box.world_from_box, np.float64, (4, 4))
        self.rigid(field, box.world_from_box)
        sized = len(box.size_m) == 3 and all(np.isfinite(size) and size > 0 for size in box.size_m)
        self.require(sized, field, "a positive length, width and height", box.size_m)
