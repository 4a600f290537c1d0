from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from worldmodel.data.clip_checks import MAX_CAMERA_LENGTH, check_name, validate_clip
from worldmodel.data.schema import Box, Clip
from worldmodel.errors import DataError

MakeClip = Callable[..., Clip]


def test_a_whole_clip_and_a_bare_one_pass(make_clip: MakeClip, bare: Clip) -> None:
    validate_clip(make_clip())
    validate_clip(bare)


def changed(array: Any, index: Any, value: float) -> Any:
    copy = array.copy()
    copy[index] = value
    return copy


BREAKS: dict[str, tuple[str, Callable[[Clip], dict[str, Any]]]] = {
    "a dot in the clip id": ("clip_id", lambda c: {"clip_id": "a.b"}),
    "a slash in the log id": ("log_id", lambda c: {"log_id": "a/b"}),
    "two cameras of one name": ("cameras", lambda c: {"cameras": ("left", "left")}),
    "no licence": ("licence", lambda c: {"licence": " "}),
    "a rate of zero": ("rate_hz", lambda c: {"rate_hz": 0.0}),
    "a number as tag": ("tags", lambda c: {"tags": {"weather": 3}}),
    "time standing still": ("times_s", lambda c: {"times_s": np.array([0, 0.1, 0.1, 0.2])}),
    "time not from zero": ("times_s", lambda c: {"times_s": c.times_s + 5}),
    "no frames": ("times_s", lambda c: {"times_s": np.zeros(0)}),
    "float images": ("rgb", lambda c: {"rgb": c.rgb / 255}),
    "a frame too few": ("rgb", lambda c: {"rgb": c.rgb[1:]}),
    "a focal length of zero": ("Ks", lambda c: {"Ks": changed(c.Ks, (0, 0, 0), 0)}),
    "a pose with NaN": ("world_from_camera", lambda c: {"world_from_camera": changed(c.world_from_camera, 0, np.nan)}),
    "a stretched rotation": (
        "world_from_camera",
        lambda c: {"world_from_camera": np.multiply(c.world_from_camera, 1.01)},
    ),
    "a mirrored ego": ("world_from_ego", lambda c: {"world_from_ego": changed(c.world_from_ego, (..., 1, 1), -1)}),
    "a sheared last row": ("world_from_ego", lambda c: {"world_from_ego": changed(c.world_from_ego, (0, 3, 0), 1)}),
    "y up": (
        "world_from_ego",
        lambda c: {"world_from_ego": c.world_from_ego @ np.diag([1.0, -1, -1, 1])},
    ),
    "depth in doubles": ("depth", lambda c: {"depth": c.depth.astype(np.float64)}),  # type: ignore[union-attr]
    "negative depth": ("depth", lambda c: {"depth": -c.depth}),  # type: ignore[operator]
    "depth of no kind": ("depth_kind", lambda c: {"depth_kind": None}),
    "masks of integers": ("sky", lambda c: {"sky": c.sky.astype(np.uint8)}),  # type: ignore[union-attr]
    "points for fewer frames": ("points", lambda c: {"points": c.points[1:]}),  # type: ignore[index]
    "points in a plane": ("points", lambda c: {"points": tuple(p[:, :2] for p in c.points)}),  # type: ignore[union-attr]
    "a flat box": ("boxes", lambda c: {"boxes": ((Box("1", "car", np.eye(4), (4, 2, 0)),),) * 4}),
    "a capital category": ("boxes", lambda c: {"boxes": ((Box("1", "Car", np.eye(4), (4, 2, 1)),),) * 4}),
    "a layout of another size": ("layout_rgb", lambda c: {"layout_rgb": c.layout_rgb[:, :, :4]}),  # type: ignore[index]
    "a layout for fewer frames": ("layout_rgb", lambda c: {"layout_rgb": c.layout_rgb[1:]}),  # type: ignore[index]
    "a lane in 2D": ("lanes", lambda c: {"lanes": (np.zeros((3, 2)),)}),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_fault_is_named_with_clip_and_field(fault: str, make_clip: MakeClip) -> None:
    field, change = BREAKS[fault]
    clip = replace(make_clip(), **change(make_clip()))
    with pytest.raises(DataError) as raised:
        validate_clip(clip)
    assert field in raised.value.what and clip.clip_id in raised.value.what


def test_names_must_fit_a_tar_member() -> None:
    check_name("camera", "CAMERA_01", 20)
    check_name("camera", "ftheta_camera_cross_right_120fov", MAX_CAMERA_LENGTH)
    for name in ("", "a b", "a" * 21):
        with pytest.raises(DataError, match="camera is not a usable name"):
            check_name("camera", name, 20)
