from dataclasses import replace

import numpy as np
import pytest

from evaluation.metrics.catalogue import PSNR
from evaluation.report import ClipFacts, Statistics
from evaluation.slices import SlicedClip, Slicing, clip_facts, mean_speed, slice_values
from evaluation.statistics import interval_over_logs
from worldmodel.data.manifest import describe_clip

STATISTICS = Statistics(resamples=100, seed=0)


def facts_of(clip, split="test"):
    return clip_facts({**describe_clip(clip), "split": split, "sha256": "m" * 64}, clip)


def ego(times, speed=0.0, turned_deg=0.0):
    """Poses along x at a speed in m/s, the heading turning evenly."""
    poses = np.broadcast_to(np.eye(4), (len(times), 4, 4)).copy()
    heading = np.radians(turned_deg) * np.linspace(0, 1, len(times))
    poses[:, 0, 0] = poses[:, 1, 1] = np.cos(heading)
    poses[:, 1, 0], poses[:, 0, 1] = np.sin(heading), -np.sin(heading)
    poses[:, 0, 3] = speed * times
    return poses


def test_tags_are_slices_and_what_no_tag_says_is_left_out(make_clip):
    clip = make_clip()
    assert {"weather": "clear", "light": "day"}.items() <= facts_of(clip).slices.items()
    bare = facts_of(replace(clip, tags={"region": "munich"}, world_from_ego=None, dynamic=None))
    assert bare.slices == {"region": "munich"}


@pytest.mark.parametrize(
    ("speed", "name"),
    [
        (0.0, "standing"),
        (0.49, "standing"),
        (0.51, "below 5 m/s"),
        (5.01, "5-10 m/s"),
        (12.0, "10-15 m/s"),
        (15.01, "above 15 m/s"),
    ],
)
def test_speed_is_the_length_of_the_path_over_the_time(make_clip, speed, name):
    clip = make_clip()
    poses = ego(clip.times_s, speed)
    assert mean_speed(poses, clip.times_s) == pytest.approx(speed)
    assert facts_of(replace(clip, world_from_ego=poses)).slices["speed"] == name


@pytest.mark.parametrize(
    ("degrees", "name"),
    [(0, "straight"), (9.9, "straight"), (-9.9, "straight"), (10.1, "left"), (-10.1, "right"), (200, "left")],
)
def test_turn_is_how_far_the_heading_turned_and_left_is_counterclockwise(make_clip, degrees, name):
    clip = make_clip()
    assert facts_of(replace(clip, world_from_ego=ego(clip.times_s, 5.0, degrees))).slices["turn"] == name


@pytest.mark.parametrize(("pixels", "name"), [(0, "none"), (1, "below 1 %"), (16, "1-3 %"), (48, "above 3 %")])
def test_dynamic_is_the_share_of_moving_pixels(make_clip, pixels, name):
    clip = make_clip()
    dynamic = np.zeros_like(clip.dynamic)
    dynamic.reshape(-1, 24 * 32)[:, :pixels] = True
    assert facts_of(replace(clip, dynamic=dynamic)).slices["dynamic"] == name


def test_the_content_of_a_clip_is_its_pixels_whatever_it_is_called(make_clip):
    clip = make_clip()
    assert facts_of(replace(clip, clip_id="other", tags={})).pixels_sha256 == facts_of(clip).pixels_sha256
    brighter = clip.rgb.copy()
    brighter[0, 0, 0, 0, 0] ^= 1
    assert facts_of(replace(clip, rgb=brighter)).pixels_sha256 != facts_of(clip).pixels_sha256


def test_held_out_frames_of_a_training_log_are_marked(make_clip):
    assert facts_of(make_clip(), "train").same_log and not facts_of(make_clip()).same_log


def slicing(*lights, min_clips=2):
    def facts(i, light):
        place = {"clip_id": f"c{i}", "log_id": f"l{i}", "source": "s", "split": "test", "same_log": False}
        return ClipFacts(**place, sha256=str(i), pixels_sha256=str(i), slices={"light": light, "weather": "clear"})

    return Slicing({f"c{i}": facts(i, light) for i, light in enumerate(lights)}, min_clips)


def clips(*values, cameras=None):
    return [
        SlicedClip(f"c{i}", f"l{i}", value, {} if cameras is None else cameras[i]) for i, value in enumerate(values)
    ]


def test_a_slice_is_the_mean_of_its_clips_with_its_own_interval():
    values = [20.0, 10.0, 12.0, 17.0, 30.0]
    found = slice_values(
        PSNR, clips(*values), slicing("day", "night", "night", "night", "day", min_clips=3), STATISTICS
    )
    assert [(s.slice, s.value, s.n_clips, s.n_logs) for s in found] == [
        ("weather=clear", 17.8, 5, 5),
        ("light=day", 25.0, 2, 2),
        ("light=night", 13.0, 3, 3),
    ]
    night = found[2]
    assert night.ci95 == interval_over_logs([10.0, 12.0, 17.0], ["l1", "l2", "l3"], STATISTICS)
    assert found[1].ci95 is None and found[1].no_interval == "2 logs: an interval over logs needs 3"
    assert {(s.metric, s.unit, s.direction, s.min_clips, s.method) for s in found} == {
        ("image/psnr", "dB", "up", 3, None)
    }


def test_a_camera_is_a_slice_over_its_own_images():
    by_camera = [{"front": 10.0, "left": 30.0}, {"front": 20.0}]
    found = slice_values(PSNR, clips(20.0, 20.0, cameras=by_camera), slicing("day", "day"), STATISTICS, "dmd")
    cameras = {s.slice: (s.value, s.n_clips, s.method) for s in found if s.slice.startswith("camera")}
    assert cameras == {"camera=front": (15.0, 2, "dmd"), "camera=left": (30.0, 1, "dmd")}


def test_a_nan_takes_its_slices_and_all_cameras_with_it_and_no_other():
    """A mean without the clip that failed would be a mean of what went well."""
    cameras = [{}, {"front": 1.0}, {"front": 1.0}]
    found = slice_values(PSNR, clips(None, 1.0, 1.0, cameras=cameras), slicing("night", "day", "day"), STATISTICS)
    assert [s.slice for s in found] == ["light=day"]
