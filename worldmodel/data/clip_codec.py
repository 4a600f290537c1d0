"""A clip as named byte strings (WebDataset members) and back.

Layout, in tar order: `<clip_id>.meta.json`, then for each frame t: for each camera `<clip_id>.<t>.<camera>.rgb.png`,
`.layout.png`, `.depth.png` (uint16, metres * 128, 0 = none) and `.mask.png` (bit 0 sky, bit 1 dynamic);
`<clip_id>.<t>.points.npy` (float32 [P, 3], ego frame). What a clip does not have has no member. Numbers in meta.json
keep every bit of a double.

Depth is kept to 1/256 m up to 511.99 m; beyond that it is stored as none.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldmodel.data.schema import SCHEMA_VERSION, Box, Clip
from worldmodel.errors import DataError

DEPTH_UNITS_PER_M = 128
_DEPTH_LARGEST = 65535
_SKY_BIT, _DYNAMIC_BIT = 1, 2
_PNG_COMPRESSION = 4

Meta = dict[str, Any]


def encode_clip(clip: Clip) -> Iterator[tuple[str, bytes]]:
    """Member names and contents of a clip, in tar order."""
    yield f"{clip.clip_id}.meta.json", json.dumps(_meta(clip), sort_keys=True, separators=(",", ":")).encode()
    masks = _pack_masks(clip)
    for t in range(len(clip.times_s)):
        for v, camera in enumerate(clip.cameras):
            yield image_member(clip.clip_id, t, camera, "rgb"), _png(clip.rgb[t, v])
            if clip.layout_rgb is not None:
                yield image_member(clip.clip_id, t, camera, "layout"), _png(clip.layout_rgb[t, v])
            if clip.depth is not None:
                yield image_member(clip.clip_id, t, camera, "depth"), _png(_quantize_depth(clip.depth[t, v]))
            if masks is not None:
                yield image_member(clip.clip_id, t, camera, "mask"), _png(masks[t, v])
        if clip.points is not None:
            yield points_member(clip.clip_id, t), _npy(clip.points[t])


def decode_clip(meta: Meta, read: Callable[[str], bytes], frames: Sequence[int] | None = None) -> Clip:
    """The clip that `meta` describes, with only `frames` (in that order) when given: no other frame's member is read.

    Args:
        meta: the parsed meta.json.
        read: contents of a member by its name.
        frames: indices into the stored clip's frames.

    Raises:
        DataError: meta.json lacks a field or is of another schema version, a member does not decode, or a frame is
            out of range.
    """
    try:
        return _decode(meta, read, frames)
    except KeyError as error:
        raise DataError(f"clip {meta.get('clip_id')}: meta.json lacks a field", expected=str(error)) from error


def parse_meta(clip_id: str, data: bytes) -> Meta:
    """Parses meta.json; raises DataError if it is not JSON, not this clip's, or of another schema version."""
    try:
        meta = json.loads(data)
        found = meta["clip_id"], meta["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{clip_id}.meta.json cannot be read", expected="a clip's metadata", got=repr(error)) from error
    if found != (clip_id, SCHEMA_VERSION):
        expected = f"clip {clip_id} of schema version {SCHEMA_VERSION}"
        got = f"clip {found[0]} of schema version {found[1]}"
        raise DataError(f"{clip_id}.meta.json is another's", expected=expected, got=got, fix="run prepare again")
    return dict(meta)


def image_member(clip_id: str, frame: int, camera: str, kind: str) -> str:
    return f"{clip_id}.{frame:03d}.{camera}.{kind}.png"


def points_member(clip_id: str, frame: int) -> str:
    return f"{clip_id}.{frame:03d}.points.npy"


def _meta(clip: Clip) -> Meta:
    boxes = None if clip.boxes is None else [[_box_to_json(box) for box in frame] for frame in clip.boxes]
    return {
        "schema_version": SCHEMA_VERSION,
        "clip_id": clip.clip_id,
        "log_id": clip.log_id,
        "source": clip.source,
        "licence": clip.licence,
        "cameras": list(clip.cameras),
        "rate_hz": clip.rate_hz,
        "times_s": clip.times_s.tolist(),
        "height_px": clip.rgb.shape[2],
        "width_px": clip.rgb.shape[3],
        "has": clip.has,
        "depth_kind": clip.depth_kind,
        "Ks": _to_list(clip.Ks),
        "world_from_camera": _to_list(clip.world_from_camera),
        "world_from_ego": _to_list(clip.world_from_ego),
        "boxes": boxes,
        "lanes": None if clip.lanes is None else [lane.tolist() for lane in clip.lanes],
        "tags": dict(clip.tags),
        "text": clip.text,
    }


def _decode(meta: Meta, read: Callable[[str], bytes], frames: Sequence[int] | None) -> Clip:
    clip_id, cameras, has, n_frames = meta["clip_id"], tuple(meta["cameras"]), meta["has"], len(meta["times_s"])
    chosen = list(range(n_frames)) if frames is None else list(frames)
    if any(t not in range(n_frames) for t in chosen):
        raise DataError(f"clip {clip_id} lacks a frame", expected=f"frames below {n_frames}", got=str(chosen))

    def images(kind: str, dtype: type[np.generic], channels: tuple[int, ...] = ()) -> NDArray[Any]:
        stack = np.empty((len(chosen), len(cameras), meta["height_px"], meta["width_px"], *channels), dtype)
        for i, t in enumerate(chosen):
            for v, camera in enumerate(cameras):
                name = image_member(clip_id, t, camera, kind)
                stack[i, v] = _read_png(name, read(name), stack.shape[2:], stack.dtype)
        return stack

    masks = images("mask", np.uint8) if has["sky"] or has["dynamic"] else None
    points = [_read_npy(name, read(name)) for name in (points_member(clip_id, t) for t in chosen) if has["points"]]
    world_from_camera, world_from_ego = _to_array(meta["world_from_camera"]), _to_array(meta["world_from_ego"])
    boxes, lanes = meta["boxes"], meta["lanes"]
    return Clip(
        clip_id=clip_id,
        log_id=meta["log_id"],
        source=meta["source"],
        licence=meta["licence"],
        cameras=cameras,
        rate_hz=meta["rate_hz"],
        times_s=np.array(meta["times_s"])[chosen],
        rgb=images("rgb", np.uint8, (3,)),
        Ks=_to_array(meta["Ks"]),
        world_from_camera=None if world_from_camera is None else world_from_camera[chosen],
        world_from_ego=None if world_from_ego is None else world_from_ego[chosen],
        depth=images("depth", np.uint16).astype(np.float32) / np.float32(DEPTH_UNITS_PER_M) if has["depth"] else None,
        depth_kind=meta["depth_kind"],
        sky=(masks & _SKY_BIT).astype(bool) if masks is not None and has["sky"] else None,
        dynamic=(masks & _DYNAMIC_BIT).astype(bool) if masks is not None and has["dynamic"] else None,
        points=tuple(points) if has["points"] else None,
        boxes=None if boxes is None else tuple(tuple(map(_box_from_json, boxes[t])) for t in chosen),
        layout_rgb=images("layout", np.uint8, (3,)) if has["layout_video"] else None,
        lanes=None if lanes is None else tuple(np.array(lane, np.float64).reshape(-1, 3) for lane in lanes),
        tags=meta["tags"],
        text=meta["text"],
    )


def _to_list(array: NDArray[np.float64] | None) -> Any:
    return None if array is None else array.tolist()


def _to_array(nested: Any) -> NDArray[np.float64] | None:
    return None if nested is None else np.array(nested, np.float64)


def _box_to_json(box: Box) -> Meta:
    return {
        "track_id": box.track_id,
        "category": box.category,
        "world_from_box": box.world_from_box.tolist(),
        "size_m": list(box.size_m),
        "moving": box.moving,
    }


def _box_from_json(fields: Meta) -> Box:
    return Box(
        track_id=fields["track_id"],
        category=fields["category"],
        world_from_box=np.array(fields["world_from_box"], np.float64),
        size_m=tuple(fields["size_m"]),
        moving=fields["moving"],
    )


def _quantize_depth(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    units = np.round(depth.astype(np.float64) * DEPTH_UNITS_PER_M)
    return np.where(units <= _DEPTH_LARGEST, units, 0).astype(np.uint16)


def _pack_masks(clip: Clip) -> NDArray[np.uint8] | None:
    if clip.sky is None and clip.dynamic is None:
        return None
    packed = np.zeros(clip.rgb.shape[:4], np.uint8)
    for mask, bit in ((clip.sky, _SKY_BIT), (clip.dynamic, _DYNAMIC_BIT)):
        if mask is not None:
            packed[mask] |= bit
    return packed


def _png(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=_PNG_COMPRESSION)
    return buffer.getvalue()


def _npy(points: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(points, np.float32), allow_pickle=False)
    return buffer.getvalue()


def _read_png(name: str, data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} does not decode", expected="a PNG image", got=type(error).__name__) from error
    if pixels.shape != shape or pixels.dtype != dtype:
        raise DataError(f"{name} is another image", expected=f"{dtype} {shape}", got=f"{pixels.dtype} {pixels.shape}")
    return pixels


def _read_npy(name: str, data: bytes) -> NDArray[np.float32]:
    try:
        points: NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{name} does not decode", expected="a npy array", got=str(error)) from error
    if points.dtype != np.float32 or points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{name} is no point cloud", expected="float32 [P, 3]", got=f"{points.dtype} {points.shape}")
    return points
