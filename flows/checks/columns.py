"""Columns measured on decoded clips: one row a clip, one number a property, so that a suite can be read as a table.

A clip that lacks what a column needs is left out of that column and this is said (`Skip`). A number that should be
there and is not finite is never skipped: it counts as `unmeasured`, which the suite refuses.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.checks import colour, depth
from worldmodel.data.schema import Clip

STUCK_MOTION_M = 0.05  # two equal images of one camera are a fault if the ego moved farther than this between them

Value = float | int | str | None
Values = dict[str, Value]


@dataclass(frozen=True)
class Skip:
    """Columns of a clip that could not be measured, and why."""

    clip_id: str
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Measured:
    """One clip's row, what it leaves out, and the sha256 of each of its images."""

    values: Values
    skipped: tuple[Skip, ...]
    images: frozenset[str]


def measure_clip(clip: Clip, row: Mapping[str, Any]) -> Measured:
    """Every column of one decoded clip; `row` is its row in the manifest."""
    hashes = _image_hashes(clip)
    values: Values = {"depth_kind": clip.depth_kind}
    values |= {"manifest_mismatches": _manifest_mismatches(clip, row), "nonfinite_values": _nonfinite_values(clip)}
    skipped: list[Skip] = []
    unmeasured = 0
    stuck: _Measure = (("world_from_ego",), ("stuck_images",), lambda clip: _stuck_images(clip, hashes))
    for needs, columns, measure in (stuck, *_MEASURES):
        lacking = [what for what in needs if getattr(clip, what) is None]
        found = dict.fromkeys(columns) if lacking else measure(clip)
        empty = tuple(name for name in columns if found[name] is None)
        if empty:
            reason = f"the clip has no {' and no '.join(lacking)}" if lacking else "nothing to compare"
            skipped.append(Skip(clip.clip_id, empty, reason))
        bad = [name for name, value in found.items() if value is not None and not np.isfinite(value)]
        unmeasured += len(bad)
        values |= {name: None if name in bad else value for name, value in found.items()}
    values["unmeasured"] = unmeasured
    return Measured(values, tuple(skipped), frozenset(hashes.ravel().tolist()))


def _image_hashes(clip: Clip) -> Any:
    frames, cameras = clip.rgb.shape[:2]
    shape = repr(clip.rgb.shape[2:]).encode()
    hashes = [
        hashlib.sha256(shape + np.ascontiguousarray(clip.rgb[t, v]).tobytes()).hexdigest()
        for t in range(frames)
        for v in range(cameras)
    ]
    return np.array(hashes).reshape(frames, cameras)


def _stuck_images(clip: Clip, hashes: Any) -> Values:
    assert clip.world_from_ego is not None
    moved = np.linalg.norm(np.diff(clip.world_from_ego[:, :3, 3], axis=0), axis=-1) > STUCK_MOTION_M
    return {"stuck_images": int(np.count_nonzero((hashes[1:] == hashes[:-1]) & moved[:, None]))}


def _manifest_mismatches(clip: Clip, row: Mapping[str, Any]) -> int:
    frames, cameras, height, width = clip.rgb.shape[:4]
    expected: dict[str, Any] = {"log_id": clip.log_id, "source": clip.source, "licence": clip.licence}
    expected |= {"n_frames": frames, "height": height, "width": width, "rate_hz": clip.rate_hz}
    expected |= {f"has_{name}": has for name, has in clip.has.items()}
    names_differ = tuple(row["cameras"]) != clip.cameras or len(clip.cameras) != cameras
    return int(names_differ) + sum(bool(row[name] != value) for name, value in expected.items())


def _nonfinite_values(clip: Clip) -> int:
    arrays = [clip.times_s, clip.Ks, clip.world_from_camera, clip.world_from_ego, clip.depth, *(clip.points or ())]
    return sum(int(np.count_nonzero(~np.isfinite(array))) for array in arrays if array is not None)


def _image_columns(clip: Clip) -> Values:
    pixels = clip.rgb.reshape(-1, *clip.rgb.shape[2:]).astype(np.float32) / 255
    return {"darkest_image": float(pixels.mean((1, 2, 3)).min()), "flattest_image": float(pixels.std((1, 2, 3)).min())}


def _layout_columns(clip: Clip) -> Values:
    assert clip.layout_rgb is not None
    return {"brightest_layout": float(clip.layout_rgb.max()) / 255}


def _time_columns(clip: Clip) -> Values:
    steps = np.diff(clip.times_s) * clip.rate_hz
    if not steps.size:
        return {"shortest_step": None, "longest_step": None}
    return {"shortest_step": float(steps.min()), "longest_step": float(steps.max())}


def _calibration_columns(clip: Clip) -> Values:
    assert clip.Ks is not None
    height, width = clip.rgb.shape[2:4]
    focal = clip.Ks[:, (0, 1), (0, 1)] / width
    centre = clip.Ks[:, :2, 2] / (width, height)
    margin = np.minimum(centre, 1 - centre).min()
    return {"shortest_focal": float(focal.min()), "longest_focal": float(focal.max()), "centre_margin": float(margin)}


def _pose_columns(clip: Clip) -> Values:
    assert clip.world_from_camera is not None and clip.world_from_ego is not None
    poses = [clip.world_from_camera.reshape(-1, 4, 4), clip.world_from_ego]
    poses += [box.world_from_box[None] for boxes in clip.boxes or () for box in boxes]
    stacked = np.concatenate(poses)
    rotations = stacked[:, :3, :3]
    error = np.abs(np.swapaxes(rotations, -1, -2) @ rotations - np.eye(3)).max()
    error = max(error, np.abs(np.linalg.det(rotations) - 1).max(), np.abs(stacked[:, 3] - (0, 0, 0, 1)).max())
    offsets = clip.world_from_camera[..., :3, 3] - clip.world_from_ego[:, None, :3, 3]
    steps = np.linalg.norm(np.diff(clip.world_from_ego[:, :3, 3], axis=0), axis=-1)
    speeds = steps / np.maximum(np.diff(clip.times_s), 1e-6)
    return {
        "rotation_error": float(error),
        "camera_offset_m": float(np.linalg.norm(offsets, axis=-1).max()),
        "fastest_m_s": float(speeds.max()) if speeds.size else None,
    }


def _depth_columns(clip: Clip) -> Values:
    assert clip.depth is not None
    return {"depth_coverage": float((clip.depth > 0).mean()), "deepest_m": float(clip.depth.max())}


def _box_columns(clip: Clip) -> Values:
    assert clip.boxes is not None
    sizes = [side for boxes in clip.boxes for box in boxes for side in box.size_m]
    return {"smallest_box_m": min(sizes, default=None), "largest_box_m": max(sizes, default=None)}


_POSED_DEPTH = ("depth", "Ks", "world_from_camera")
# what a clip must have, the columns, and what measures them
_Measure = tuple[tuple[str, ...], tuple[str, ...], Callable[[Clip], Values]]
_MEASURES: tuple[_Measure, ...] = (
    ((), ("darkest_image", "flattest_image"), _image_columns),
    (("layout_rgb",), ("brightest_layout",), _layout_columns),
    ((), ("shortest_step", "longest_step"), _time_columns),
    (("Ks",), ("shortest_focal", "longest_focal", "centre_margin"), _calibration_columns),
    (("world_from_camera", "world_from_ego"), ("rotation_error", "camera_offset_m", "fastest_m_s"), _pose_columns),
    (("depth",), ("depth_coverage", "deepest_m"), _depth_columns),
    (("boxes",), ("smallest_box_m", "largest_box_m"), _box_columns),
    (
        _POSED_DEPTH,
        ("depth_error_frames",),
        lambda clip: {"depth_error_frames": depth.depth_error_between_frames(clip)},
    ),
    (
        _POSED_DEPTH,
        ("depth_error_cameras",),
        lambda clip: {"depth_error_cameras": depth.depth_error_between_cameras(clip)},
    ),
    (_POSED_DEPTH, ("image_agreement",), lambda clip: {"image_agreement": colour.image_agreement(clip)}),
    (
        (*_POSED_DEPTH, "points", "world_from_ego"),
        ("depth_error_points",),
        lambda clip: {"depth_error_points": depth.depth_error_to_points(clip)},
    ),
)
COLUMNS = (
    *("depth_kind", "stuck_images", "manifest_mismatches", "nonfinite_values"),
    *(column for _, columns, _ in _MEASURES for column in columns),
    "unmeasured",
)
