"""Groups made of scores given by hand: (model, nearest context, oracle) for each clip."""

import pytest

from evaluation.grouping import group_clips, not_applicable
from evaluation.renders import RenderedClip
from evaluation.report import NEAREST, ORACLE, Statistics
from evaluation.scoring import MODEL, ClipScores, ImageScore

STATISTICS = Statistics(resamples=100, seed=0)


def scores(*clips, metric="image/psnr", lacking=None):
    made = []
    for i, values in enumerate(clips):
        frames = {"context_frames": (0,), "target_frames": (1,), "n_gaussians": 7}
        entry = RenderedClip(clip_id=f"c{i}", log_id=f"l{i}", source="s", split="test", same_log=False, **frames)
        clip = ClipScores(entry, not_applicable=lacking or {})
        for method, value in zip((MODEL, NEAREST, ORACLE), values, strict=True):
            if value is not None:
                clip.images[metric, "all", method].append(ImageScore(1, "front", value))
        made.append(clip)
    return made


def only_metric(*clips, metric="image/psnr"):
    (group,) = group_clips(scores(*clips, metric=metric), STATISTICS)
    (found,) = group.metrics
    return found


def test_the_gap_closed_is_the_share_of_the_way_from_nearest_to_the_oracle():
    assert only_metric((22.0, 20.0, 25.0), (24.0, 22.0, 27.0)).gap_closed == pytest.approx(0.4)
    assert only_metric((18.0, 20.0, 25.0)).gap_closed == pytest.approx(-0.4)
    assert only_metric((4.0, 5.0, 3.0), metric="depth/rmse").gap_closed == pytest.approx(0.5)


@pytest.mark.parametrize("clip", [(22.0, 20.0, 20.0), (22.0, 20.0, 19.0), (22.0, 20.0, None), (22.0, None, 25.0)])
def test_there_is_no_gap_where_the_oracle_is_missing_or_no_better(clip):
    assert only_metric(clip).gap_closed is None


def test_a_baseline_that_only_some_clips_have_is_left_out_but_kept_by_clip():
    metric = only_metric((22.0, 20.0, 25.0), (24.0, 22.0, None))
    assert set(metric.baselines) == {NEAREST}
    assert [set(clip.baselines) for clip in metric.per_clip] == [{NEAREST, ORACLE}, {NEAREST}]


def test_the_difference_is_paired_by_clip():
    """The clips differ by 20 dB, the model's lead does not: its interval has no width."""
    metric = only_metric((12.0, 10.0, None), (22.0, 20.0, None), (32.0, 30.0, None))
    interval = metric.baselines[NEAREST].difference_ci95
    assert (interval.low, interval.high) == (2.0, 2.0)
    assert metric.ci95.high - metric.ci95.low > 5


def test_a_nan_makes_the_value_null_and_takes_its_baselines_and_interval():
    metric = only_metric((float("nan"), 20.0, 25.0), (24.0, 22.0, 27.0))
    assert (metric.value, metric.ci95, metric.baselines, metric.gap_closed) == (None, None, {}, None)
    assert metric.problem == "NaN in 1 of 2 images, first in clip c0, frame 1, camera front"


def test_a_metric_that_no_image_has_is_not_in_the_group():
    (group,) = group_clips(scores((22.0, 20.0, 25.0)), STATISTICS)
    assert group.metric("image/ssim") is None
    assert group.metric("image/psnr").n_images == 1


@pytest.mark.parametrize(
    ("clip", "beats", "words"),
    [
        ((22.0, 20.0, 25.0), True, "22.00 dB PSNR, 2.00 dB above copying the nearest context frame (1 log:"),
        ((18.5, 20.0, 25.0), False, "1.50 dB below copying"),
        ((20.0, 20.0, None), False, "0.00 dB below copying"),
        ((22.0, None, None), None, "nothing could be compared"),
    ],
)
def test_the_sentence_says_how_the_model_does_beside_nearest_context(clip, beats, words):
    (group,) = group_clips(scores(clip), STATISTICS)
    assert group.beats_baseline is beats
    assert group.sentence.startswith("On s (test split) ") and words in group.sentence


def test_what_is_lacking_is_counted_by_reason():
    lacking = {"depth": "no true depth"}
    entries = not_applicable(scores((1.0, 1.0, 1.0), (2.0, 1.0, 1.0), lacking=lacking))
    assert [(entry.what, entry.reason) for entry in entries] == [("depth on s", "no true depth (2 clips)")]


def test_a_value_is_kept_by_camera_and_a_nan_is_not():
    made = scores((22.0, 20.0, None), (float("nan"), 20.0, None))
    made[0].images["image/psnr", "all", MODEL].append(ImageScore(2, "left", 24.0))
    metric = group_clips(made, STATISTICS)[0].metrics[0]
    assert [clip.by_camera for clip in metric.per_clip] == [{"front": 22.0, "left": 24.0}, {}]


def test_a_value_of_the_whole_clip_counts_once_and_is_of_no_camera():
    made = scores((22.0, 20.0, None))
    made[0].images["scene/gaussians", "all", MODEL].append(ImageScore(None, None, 500.0))
    metric = group_clips(made, STATISTICS)[0].metric("scene/gaussians")
    assert (metric.value, metric.n_images, metric.per_clip[0].by_camera) == (500.0, 1, {})
