import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.worldmodel.data.adapters.conftest import HEIGHT, UUID, WIDTH, Rig, close, drive, layout
from worldmodel.data.adapters.multicam import MulticamSource
from worldmodel.data.clip_checks import validate_clip
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError

RECORDED = Path(__file__).parents[5] / "shared/data/multicam_drive"


def source(root: Path, rate_hz: float = 30.0, clip_frames: int = 40) -> MulticamSource:
    return MulticamSource("rig", root, "digest", (HEIGHT, WIDTH), clip_frames, rate_hz, "Apache-2.0")


def read(root: Path, rate_hz: float = 30.0) -> Clip:
    (clip,) = source(root, rate_hz).read_log(f"rig-{UUID}")
    validate_clip(clip)
    return clip


def assert_shows(clip: Clip, frames: list[int]) -> None:
    """The clip has these frames of the drive, in both cameras."""
    assert clip.rgb.shape == (len(frames), 2, HEIGHT, WIDTH, 3)
    for t, number in enumerate(frames):
        for camera in range(2):
            assert close(clip.rgb[t, camera], drive(camera, number, 1)[0]), f"frame {t} of camera {camera}"


def assert_lays_out(clip: Clip, t: int, number: int) -> None:
    """Frame `t` of the clip's layouts is this one of the drive, and not its neighbour."""
    assert clip.layout_rgb is not None and clip.layout_rgb.shape == clip.rgb.shape
    for camera in range(2):
        agreeing = [((clip.layout_rgb[t, camera] > 127) == layout(camera, n, 1)[0] // 255).mean() for n in range(14)]
        assert int(np.argmax(agreeing)) == number and max(agreeing) > 0.98


def test_chunks_are_joined_without_the_doubled_frame(rig: Rig) -> None:
    clip = read(rig.write())
    assert_shows(clip, list(range(13)))
    assert (clip.clip_id, clip.log_id, clip.source) == (f"rig-{UUID}-000", f"rig-{UUID}", "rig")
    assert clip.cameras == ("camera_0", "camera_1") and clip.licence == "Apache-2.0"
    assert clip.rate_hz == 30 and np.allclose(clip.times_s, np.arange(13) / 30)
    assert {name for name, has in clip.has.items() if has} == {"layout_video"} and not clip.tags


def test_layouts_of_another_size_are_scaled_with_their_frames(rig: Rig) -> None:
    clip = read(rig.write())
    for t in (0, 6, 7, 12):
        assert_lays_out(clip, t, t)


def test_a_rate_that_is_a_multiple_is_thinned(rig: Rig) -> None:
    clip = read(rig.write(), rate_hz=10.0)
    assert_shows(clip, [0, 3, 6, 9, 12])
    assert clip.rate_hz == 10 and np.allclose(clip.times_s, np.arange(5) / 10)
    assert clip.layout_rgb is not None and len(clip.layout_rgb) == 5


def test_a_rate_that_is_no_multiple_is_kept(rig: Rig) -> None:
    clip = read(rig.write(), rate_hz=12.0)
    assert len(clip.rgb) == 13 and clip.rate_hz == 30


def test_long_scenes_are_cut_evenly(rig: Rig) -> None:
    clips = source(rig.write(), clip_frames=5).read_log(f"rig-{UUID}")
    assert [len(clip.times_s) for clip in clips] == [5, 4, 4]
    assert_shows(clips[2], [9, 10, 11, 12])
    for clip in clips:
        validate_clip(clip)


@pytest.mark.parametrize("channels", [(0, 0, 0), (0, 0, 1), (0, 1, 1)])
def test_a_corrupt_first_frame_in_one_camera_is_dropped_in_all(channels: tuple[int, int, int], rig: Rig) -> None:
    rig.frames[1, 0][0] *= np.array(channels, np.uint8)
    clip = read(rig.write(), rate_hz=10.0)
    assert_shows(clip, [1, 4, 7, 10])
    assert_lays_out(clip, 1, 4)


def test_chunks_that_go_on_without_a_double_keep_every_frame(rig: Rig) -> None:
    for camera in range(2):
        rig.frames[camera, 1] = drive(camera, 7, 7)
    assert_shows(read(rig.write()), list(range(14)))


def test_a_scene_of_one_file_without_layouts_is_read(rig: Rig) -> None:
    rig.frames = {(camera, 0): drive(camera, 0, 4) for camera in range(2)}
    rig.layouts.clear()
    root = rig.write()
    for camera in range(2):
        rig.video(camera, 0).rename(root / f"videos/camera_{camera}/noon.mp4")
    (clip,) = source(root).read_log("rig-noon")
    assert_shows(clip, list(range(4)))
    assert clip.layout_rgb is None


FAULTS: dict[str, tuple[Callable[[Rig], object], str, str]] = {
    "a layout of another length": (
        lambda rig: rig.layouts.update({(1, 1): rig.layouts[1, 1][:5]}),
        f"rig/control_input_hdmap_bbox/camera_1/av_{UUID}_1.mp4 is not as long as its video",
        "7 frames",
    ),
    "a camera of another length": (
        lambda rig: rig.frames.update({(1, 1): rig.frames[1, 1][:5]}),
        f"rig/videos/camera_1/av_{UUID}_1.mp4 is not as long as the other cameras' videos",
        "7 frames",
    ),
    "another rate": (lambda rig: rig.rates.update({(1, 0): 15}), "camera_1/av_", "30 Hz, as the first camera's"),
    "a corrupt frame later": (
        lambda rig: rig.frames[0, 1].__setitem__(3, 0),
        f"rig/videos/camera_0/av_{UUID}_1.mp4: frame 3 is corrupt",
        "a picture like the frames beside it",
    ),
    "a camera out of step": (
        lambda rig: rig.frames.update({(1, 1): drive(1, 7, 7)}),
        f"camera_1/av_{UUID}_1.mp4: frame 0 does not fit",
        "repeats the last of the chunk before",
    ),
    "a chunk of another drive": (
        lambda rig: rig.frames.update({(c, 1): drive(c, 26, 7) for c in range(2)}),
        "does not go on where the chunk before it ends",
        "the last frame of the chunk before",
    ),
    "a chunk of one frame": (
        lambda rig: rig.frames.update({(c, 1): drive(c, 6, 1) for c in range(2)}),
        f"camera_0/av_{UUID}_1.mp4 is too short",
        "2 frames",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_scene_is_named_by_file(fault: str, rig: Rig) -> None:
    damage, what, expected = FAULTS[fault]
    damage(rig)
    with pytest.raises(DataError) as raised:
        read(rig.write())
    assert what in raised.value.what and expected in raised.value.expected
    assert raised.value.fix and str(rig.root.parent) not in str(raised.value)


MISSING: dict[str, tuple[Callable[[Rig], Path], str]] = {
    "a chunk of one camera": (lambda rig: rig.video(1, 0), f"rig/videos/camera_1/av_{UUID}_0.mp4 is missing"),
    "a layout": (lambda rig: rig.layout(0, 1), f"rig/control_input_hdmap_bbox/camera_0/av_{UUID}_1.mp4 is missing"),
}


@pytest.mark.parametrize("file", MISSING)
def test_a_missing_file_is_named(file: str, rig: Rig) -> None:
    choose, what = MISSING[file]
    rig.write()
    choose(rig).unlink()
    with pytest.raises(DataError, match=what):
        read(rig.root)


def test_a_missing_chunk_of_all_cameras_is_named(rig: Rig) -> None:
    rig.write()
    for camera in range(2):
        rig.video(camera, 0).unlink()
    with pytest.raises(DataError, match=f"scene av_{UUID} lacks a chunk"):
        read(rig.root)


def test_camera_folders_must_be_usable_names(rig: Rig) -> None:
    rig.write()
    (rig.root / "videos/camera_1").rename(rig.root / "videos/camera 1")
    with pytest.raises(DataError, match="rig/videos: camera folder is not a usable name"):
        read(rig.root)


def test_a_folder_without_videos_is_refused(rig: Rig) -> None:
    with pytest.raises(DataError, match="rig: no video in this folder"):
        source(rig.root).log_ids()


def test_two_scenes_of_one_name_are_one_broken_log_beside_the_others(rig: Rig) -> None:
    rig.write()
    for name in (f"copy_{UUID}_0.mp4", "noon.mp4"):
        shutil.copy(rig.video(0, 0), rig.video(0, 0).with_name(name))
    assert sorted(source(rig.root).log_ids()) == [f"rig-{UUID}", "rig-noon"]
    with pytest.raises(DataError, match=f"two scenes are named rig-{UUID}(.|\n)*av_{UUID} and copy_{UUID}"):
        read(rig.root)


def test_a_folder_without_a_licence_is_refused_before_anything_is_decoded(rig: Rig) -> None:
    rig.write()
    rig.video(0, 0).write_bytes(b"no video")
    with pytest.raises(DataError, match="no file LICENSE"):
        replace(source(rig.root), stated_licence=None).read_log(f"rig-{UUID}")


def test_two_recorded_cameras_are_in_step_and_lose_their_corrupt_frame(tmp_path: Path) -> None:
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded driving at {RECORDED}")
    for kind in ("videos", "control_input_hdmap_bbox"):
        for camera in ("ftheta_camera_front_wide_120fov", "ftheta_camera_rear_right_70fov"):
            folder = tmp_path / kind / camera
            folder.mkdir(parents=True)
            for file in (RECORDED / kind / camera).glob("av_0aef6f94*.mp4"):
                (folder / file.name).symlink_to(file)
    drive = MulticamSource("multicam_drive", tmp_path, "digest", (64, 96), 32, 10.0, "Apache-2.0")
    assert drive.log_ids() == ["multicam_drive-0aef6f94-b02a-4c29-b99f-06fcd48ac0a0"]
    (clip,) = drive.read_log(drive.log_ids()[0])
    validate_clip(clip)
    assert clip.rgb.shape == (29, 2, 64, 96, 3), "3 x 30 frames less 2 doubles and 1 corrupt frame, each third one"
    steps = np.abs(np.diff(clip.rgb.astype(float), axis=0)).mean((2, 3, 4))
    assert steps.min() > 1 and steps.max() < 12, "no double, no jump"
    assert clip.layout_rgb is not None and clip.layout_rgb.max((0, 2, 3, 4)).min() > 100
