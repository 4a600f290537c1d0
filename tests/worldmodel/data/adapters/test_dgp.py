import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from worldmodel.data.adapters.dgp import DgpSource, mark_moving
from worldmodel.data.adapters.dgp_scene import sparse_depth
from worldmodel.data.clip_checks import validate_clip
from worldmodel.data.schema import Box, Clip
from worldmodel.errors import DataError
from worldmodel.geometry.poses import invert_pose, project_points, transform_points

WriteScenes = Callable[..., Path]
RECORDED = Path(__file__).parents[5] / "shared/data/dgp_street"


def source(root: Path, size: tuple[int, int] = (20, 30), clip_frames: int = 20) -> DgpSource:
    return DgpSource("street", root, "digest", size, clip_frames)


def read(root: Path, size: tuple[int, int] = (20, 30)) -> Clip:
    (clip,) = source(root, size).read_log("street-scene_00")
    validate_clip(clip)
    return clip


def test_a_scene_becomes_a_clip_in_the_houses_axes(write_scenes: WriteScenes) -> None:
    clip = read(write_scenes())
    assert (clip.clip_id, clip.log_id, clip.licence) == ("street-scene_00-000", "street-scene_00", "MIT")
    assert clip.cameras == ("CAMERA_01", "CAMERA_02")
    assert clip.times_s.tolist() == [0, 0.1, 0.2] and clip.rate_hz == 10
    assert clip.world_from_ego is not None and clip.world_from_camera is not None
    # the LiDAR sits 2 m above the ego's origin and is where the world begins
    assert np.allclose(clip.world_from_ego[:, :3, 3], [[0, 0, -2], [1, 0, -2], [2, 0, -2]])
    assert np.allclose(clip.world_from_camera[2, 0, :3, 3], [2, 0, -1])
    assert np.allclose(clip.world_from_camera[:, :, :3, 2], [[1, 0, 0], [0, 1, 0]])
    assert np.allclose(clip.world_from_camera[:, :, :3, 1], [0, 0, -1])
    assert clip.sky is None and clip.dynamic is None and clip.lanes is None


def test_images_are_cut_to_cover_and_intrinsics_follow(write_scenes: WriteScenes) -> None:
    clip = read(write_scenes())
    assert clip.Ks is not None
    # 40 x 80 covers 20 x 30 at half scale with 10 columns cut on either side; 39.5 counts whole pixels, so 40 here
    assert np.allclose(clip.Ks, [[20, 0, 15], [0, 20, 10], [0, 0, 1]])
    assert clip.rgb[1, 0, :, :15, 0].max() == 1 and clip.rgb[1, 0, :, 15:, 0].min() == 200


def test_lidar_lands_in_the_pixels_it_was_measured_in(write_scenes: WriteScenes) -> None:
    clip = read(write_scenes())
    assert clip.depth is not None and clip.points is not None and clip.depth_kind == "lidar"
    front, left = clip.depth[:, 0], clip.depth[:, 1]
    assert (front[:, 10, 15] == 10).all() and (left[:, 10, 15] == 8).all(), "the nearer of two points on the axis"
    assert (clip.depth > 0).sum() == 6
    expected = [[10, -0.25, 0.75], [15, -0.375, 0.625], [0.2, 8, 0.8]]
    assert np.allclose(clip.points[0], expected), "in the ego frame, 2 m below the LiDAR"


def test_boxes_stand_in_the_world_and_say_whether_they_move(write_scenes: WriteScenes) -> None:
    clip = read(write_scenes())
    assert clip.boxes is not None
    leaving, parked = clip.boxes[2]
    assert (leaving.track_id, leaving.category, leaving.size_m) == ("7", "car", (4.5, 1.9, 1.6))
    assert np.allclose(leaving.world_from_box[:3, 3], [2 + 12, 3, -1.2]) and leaving.moving is True
    assert np.allclose(parked.world_from_box[:3, 3], [20, 3, -1.2]) and parked.moving is False


def test_a_scene_without_annotations_has_no_boxes_and_half_annotated_is_broken(write_scenes: WriteScenes) -> None:
    file = write_scenes() / "scene_00/scene_0a.json"

    def strip(*indices: int) -> None:
        edit(file, lambda c: [c["data"][i]["datum"]["point_cloud"].update(annotations={}) for i in indices])

    strip(0, 3)
    with pytest.raises(DataError, match=r"field data\[0\]\.datum\.point_cloud\.annotations\n  expected: a field 1"):
        read(file.parents[1])
    strip(6)
    assert read(file.parents[1]).boxes is None


def test_long_scenes_are_cut_evenly(write_scenes: WriteScenes) -> None:
    clips = source(write_scenes(n_frames=7), clip_frames=3).read_log("street-scene_00")
    assert [len(clip.times_s) for clip in clips] == [3, 2, 2]
    assert [clip.clip_id[-3:] for clip in clips] == ["000", "001", "002"]
    for clip in clips:
        validate_clip(clip)


def test_a_rate_above_the_one_asked_for_is_thinned(write_scenes: WriteScenes) -> None:
    root = write_scenes(n_frames=7)
    (clip,) = DgpSource("street", root, "digest", (20, 30), 20, rate_hz=5.0).read_log("street-scene_00")
    validate_clip(clip)
    assert clip.rate_hz == 5 and np.allclose(clip.times_s, [0, 0.2, 0.4, 0.6])
    assert clip.world_from_ego is not None and np.allclose(clip.world_from_ego[:, 0, 3], [0, 2, 4, 6])


def test_every_scene_is_a_log(write_scenes: WriteScenes) -> None:
    root = write_scenes(2)
    assert source(root).log_ids() == ["street-scene_00", "street-scene_01"]
    assert source(root / "scene_01").log_ids() == ["street"]


def test_a_track_seen_once_may_or_may_not_move() -> None:
    pose = np.eye(4)
    ((box,), ()) = mark_moving([[Box("1", "car", pose, (4, 2, 1))], []], np.array([0.0, 0.1]))
    assert box.moving is None


def test_points_behind_and_beside_a_camera_leave_no_depth() -> None:
    K = np.array([[10.0, 0, 5], [0, 10, 5], [0, 0, 1]])
    points = np.array([[0, 0, -5.0], [100, 0, 5], [0, 0, 4], [0, 0, 3], [-2.5, 0, 5]])
    depth = sparse_depth(K, points, (10, 10))
    assert depth[5, 5] == 3 and depth[5, 0] == 5 and (depth > 0).sum() == 2


def edit(path: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


FAULTS: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "no scene file's key": (
        "scene_0a.json",
        lambda p: edit(p, lambda c: c.pop("samples")),
        "street/scene_00/scene_0a.json: field (top level)",
        "a field samples",
    ),
    "a pose without a component": (
        "scene_0a.json",
        lambda p: edit(p, lambda c: c["data"][1]["datum"]["image"]["pose"]["rotation"].pop("qw")),
        "scene_0a.json: field data[1].datum.image.pose.rotation",
        "a field qw",
    ),
    "a quaternion that is none": (
        "calibration/rig.json",
        lambda p: edit(p, lambda c: c["extrinsics"][0]["rotation"].update(qw=2.0)),
        "calibration/rig.json: field extrinsics[0].rotation",
        "a unit quaternion",
    ),
    "a number that is text": (
        "calibration/rig.json",
        lambda p: edit(p, lambda c: c["intrinsics"][1].update(fx="wide")),
        "calibration/rig.json: field intrinsics[1].fx",
        "a finite number",
    ),
    "a camera without calibration": (
        "calibration/rig.json",
        lambda p: edit(p, lambda c: c["names"].__setitem__(2, "CAMERA_09")),
        "calibration/rig.json: field names",
        "all of LIDAR, CAMERA_01, CAMERA_02",
    ),
    "fewer names than sensors": (
        "calibration/rig.json",
        lambda p: edit(p, lambda c: c["names"].pop()),
        "calibration/rig.json: field names",
        "as many names",
    ),
    "a sample that names no datum": (
        "scene_0a.json",
        lambda p: edit(p, lambda c: c["samples"][2]["datum_keys"].append("ghost")),
        "scene_0a.json: field samples[2].datum_keys[3]",
        "the key of a datum",
    ),
    "a sample without its camera": (
        "scene_0a.json",
        lambda p: edit(p, lambda c: c["samples"][2]["datum_keys"].pop()),
        "scene_0a.json: field samples[2]",
        "an image of CAMERA_01",
    ),
    "a sample without LiDAR": (
        "scene_0a.json",
        lambda p: edit(p, lambda c: c["samples"][1]["datum_keys"].pop(0)),
        "scene_0a.json: field samples[1].datum_keys",
        "LIDAR and at least one camera",
    ),
    "two calibrations": (
        "scene_0a.json",
        lambda p: edit(p, lambda c: c["samples"][1].update(calibration_key="other")),
        "scene_0a.json: field samples",
        "one calibration_key",
    ),
    "a time that is none": (
        "scene_0a.json",
        lambda p: edit(p, lambda c: c["data"][0]["id"].update(timestamp="noon")),
        "scene_0a.json: field data[0].id.timestamp",
        "an ISO 8601 time",
    ),
    "a class out of the ontology": (
        "bounding_box_3d/LIDAR/1.json",
        lambda p: edit(p, lambda c: c["annotations"][0].update(class_id=77)),
        "bounding_box_3d/LIDAR/1.json: field annotations[0].class_id",
        "one of the ontology's ids",
    ),
    "half a JSON file": (
        "ontology/classes.json",
        lambda p: p.write_text('{"it'),
        "classes.json cannot be read",
        "JSON",
    ),
    "half an image": ("rgb/CAMERA_01/1.png", lambda p: os.truncate(p, 90), "rgb/CAMERA_01/1.png cannot", "an image"),
    "half a sweep": ("point_cloud/LIDAR/1.npz", lambda p: os.truncate(p, 90), "LIDAR/1.npz: field data", "npz"),
    "a sweep with NaN": (
        "point_cloud/LIDAR/2.npz",
        lambda p: np.savez(p, data=np.full((2, 4), np.nan)),
        "LIDAR/2.npz: field data",
        "finite points",
    ),
    "a missing sweep": ("point_cloud/LIDAR/0.npz", lambda p: p.unlink(), "LIDAR/0.npz: field data", "npz"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_scene_is_named_by_file_and_field(fault: str, write_scenes: WriteScenes) -> None:
    file, damage, what, expected = FAULTS[fault]
    root = write_scenes()
    damage(root / "scene_00" / file)
    with pytest.raises(DataError) as raised:
        read(root)
    assert what in raised.value.what and expected in raised.value.expected
    assert str(root) not in raised.value.what


def test_a_folder_without_scenes_or_licence_is_refused(tmp_path: Path, write_scenes: WriteScenes) -> None:
    with pytest.raises(DataError, match="no scene"):
        source(tmp_path).log_ids()
    root = write_scenes()
    (root / "LICENSE").unlink()
    with pytest.raises(DataError, match="no file LICENSE"):
        source(root).read_log("street-scene_00")


def test_two_scene_files_in_one_folder_are_refused(write_scenes: WriteScenes) -> None:
    root = write_scenes()
    (root / "scene_00/scene_0b.json").write_text("{}")
    with pytest.raises(DataError, match="street/scene_00: not one scene"):
        read(root)


@pytest.fixture(scope="module")
def recorded() -> Clip:
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded driving at {RECORDED}")
    (clip,) = DgpSource("dgp_street", RECORDED, "digest", (608, 968), 20).read_log("dgp_street-scene_02")
    validate_clip(clip)
    return clip


def test_the_recorded_drive_has_its_known_motion(recorded: Clip) -> None:
    assert recorded.cameras == tuple(f"CAMERA_{k:02d}" for k in (1, 5, 6, 7, 8, 9))
    assert recorded.rate_hz == 10.0 and np.allclose(np.diff(recorded.times_s), 0.1, atol=0.002)
    assert recorded.world_from_ego is not None
    in_ego = invert_pose(recorded.world_from_ego[:-1]) @ recorded.world_from_ego[1:]
    assert np.allclose(in_ego[:, :3, 3], [1.27, 0, 0], atol=0.02), "1.27 m a frame, straight ahead"


@pytest.mark.parametrize("track_id", ["1740587446", "1545514913"])
def test_recorded_points_fill_the_nearest_boxes_and_do_not_spill(recorded: Clip, track_id: str) -> None:
    assert recorded.boxes is not None and recorded.points is not None and recorded.world_from_ego is not None
    for t, boxes in enumerate(recorded.boxes):
        (box,) = [box for box in boxes if box.track_id == track_id]
        box_from_ego = invert_pose(box.world_from_box) @ recorded.world_from_ego[t]
        beyond = np.abs(transform_points(box_from_ego, recorded.points[t].astype(float))) - np.array(box.size_m) / 2
        inside, around = (beyond <= 0).all(-1).sum(), (beyond <= 0.5).all(-1).sum()
        assert inside > 250 and inside > 0.85 * around


@pytest.mark.parametrize("camera", ["CAMERA_01", "CAMERA_05", "CAMERA_09"])
def test_recorded_boxes_project_onto_the_annotated_image_boxes(recorded: Clip, camera: str) -> None:
    v = recorded.cameras.index(camera)
    files = sorted((RECORDED / "scene_02/bounding_box_2d" / camera).glob("*.json"))
    assert recorded.boxes is not None and recorded.Ks is not None and recorded.world_from_camera is not None
    for t, file in enumerate(files):
        annotated = {str(a["instance_id"]): a["box"] for a in json.loads(file.read_text())["annotations"]}
        for box in recorded.boxes[t]:
            if box.track_id in annotated:
                b = annotated[box.track_id]
                wanted = np.array([b["x"], b["y"], b["x"] + b["w"], b["y"] + b["h"]]) / 2  # half scale
                corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3), -1).reshape(-1, 3) * box.size_m
                camera_from_box = invert_pose(recorded.world_from_camera[t, v]) @ box.world_from_box
                pixels, _ = project_points(recorded.Ks[v], transform_points(camera_from_box, corners))
                assert np.abs(np.concatenate([pixels.min(0), pixels.max(0)]) - wanted).max() < 8, box
