import json
from dataclasses import replace

import numpy as np
import pytest

from evaluation.config import EvaluateConfig
from evaluation.records import write_record
from evaluation.statistics import cluster_interval
from evaluation.suite import Watch, evaluate
from evaluation.training import History
from worldmodel.errors import DataError

CONFIG = EvaluateConfig(bootstrap_resamples=200)
FOUR = [{"log": f"log-{i}", "noise": 0.02 + 0.02 * i} for i in range(4)]
DGP = {"log": "street", "source": "dgp_street", "split": "train", "same_log": True, "lidar": True, "masks": False}


@pytest.fixture
def report_of(measured):
    def report(*clips, **kwargs):
        return evaluate(measured(*clips, **kwargs), CONFIG, 0)

    return report


def test_values_are_means_over_images_then_clips(report_of):
    report = report_of({"log": "a", "noise": 0.0}, {"log": "b", "noise": 0.3, "n_frames": 4})
    metric = report.group("synthetic", "test").metric("image/psnr")
    assert [clip.n_images for clip in metric.per_clip] == [8, 4]
    assert metric.per_clip[0].value == 100.0
    assert metric.value == pytest.approx((100.0 + metric.per_clip[1].value) / 2)
    assert (metric.n_images, metric.n_clips, metric.n_logs) == (12, 2, 2)


def test_intervals_are_those_of_a_bootstrap_over_logs(report_of):
    metric = report_of(*FOUR).group("synthetic", "test").metric("image/psnr")
    logs = [clip.log_id for clip in metric.per_clip]
    assert (metric.ci95.low, metric.ci95.high) == cluster_interval([c.value for c in metric.per_clip], logs, 200, 0)
    nearest = metric.baselines["nearest_context"]
    differences = [clip.value - clip.baselines["nearest_context"] for clip in metric.per_clip]
    assert nearest.difference == pytest.approx(np.mean(differences))
    assert (nearest.difference_ci95.low, nearest.difference_ci95.high) == cluster_interval(differences, logs, 200, 0)


def test_with_two_logs_there_is_no_interval_and_the_reason(report_of):
    metric = report_of({"log": "a"}, {"log": "a"}, {"log": "b"}).group("synthetic", "test").metric("image/psnr")
    assert metric.ci95 is None and metric.baselines["nearest_context"].difference_ci95 is None
    assert metric.no_interval == "2 logs: an interval over logs needs 3"


def test_sources_splits_and_same_log_clips_are_separate_groups(report_of):
    report = report_of({"log": "a"}, {"log": "b", "split": "val"}, DGP)
    assert [(group.source, group.split, group.same_log) for group in report.groups] == [
        ("synthetic", "test", False),
        ("synthetic", "val", False),
        ("dgp_street", "train", True),
    ]
    reasons = {entry.what: entry.reason for entry in report.not_applicable}
    assert reasons["oracle_reprojection on dgp_street"] == "true depth is lidar, not dense (1 clip)"
    assert "its only log was also trained on" in reasons["held-out logs of dgp_street"]
    assert report.group("dgp_street", "train", same_log=True).metric("depth/rmse").value == pytest.approx(1.0)


def test_a_source_that_left_no_clip_is_still_a_source_of_the_data(report_of):
    report = report_of({"log": "a"}, sources=["synthetic", "fleet"])
    facts = {source.name: source.logs for source in report.data.sources}
    assert facts == {"fleet": {"train": 0, "val": 0, "test": 0}, "synthetic": {"train": 0, "val": 0, "test": 1}}


def test_a_nan_in_a_render_is_recorded_and_named_and_spoils_nothing_else(report_of):
    def spoil(depth):
        depth[1, 0, 20, 5] = np.nan

    report = report_of({"log": "a"}, {"log": "b", "depth_edit": spoil})
    metric = report.group("synthetic", "test").metric("depth/rmse")
    assert metric.value is None
    assert metric.problem == "NaN in 1 of 16 images, first in clip synthetic-001, frame 2, camera left"
    assert [clip.value is None for clip in metric.per_clip] == [False, True]
    assert report.group("synthetic", "test").metric("image/psnr").value is not None


def test_a_model_that_beats_nearest_context_is_said_to_and_one_that_does_not_is_not(report_of, tmp_path):
    good = report_of({"log": "a", "noise": 0.01})
    assert good.beats_baseline is True
    assert good.summary.startswith("The model beats the nearest-context baseline on every held-out group. On synthetic")
    bad = report_of({"log": "a", "noise": 0.9}, root=tmp_path / "bad")
    assert bad.beats_baseline is False
    assert "does not beat" in bad.summary and "dB below copying" in bad.summary


def test_same_log_numbers_alone_say_nothing_about_held_out_logs(report_of):
    report = report_of(DGP)
    assert report.beats_baseline is None and report.groups[0].beats_baseline is True
    assert report.summary.startswith("No held-out comparison")


def test_no_rendered_clip_gives_a_report_that_says_so(report_of):
    report = report_of(sources=["synthetic"])
    assert report.groups == () and report.beats_baseline is None
    assert report.not_applicable[-1].reason == "reconstruct rendered no clip"


def test_clips_that_could_not_be_rendered_are_counted_by_reason(measured):
    paths = measured({"log": "a"}, {"log": "b"})
    index = json.loads((paths.reconstruct / "index.json").read_text())
    gone = index["clips"].pop()
    index["left_out"] = [{"clip_id": gone["clip_id"], "reason": "no camera poses"}]
    (paths.reconstruct / "index.json").write_text(json.dumps(index))
    entries = {entry.what: entry for entry in evaluate(paths, CONFIG, 0).not_applicable}
    found = entries["1 clip of synthetic"]
    assert (found.reason, found.stage, found.source) == ("no camera poses", "reconstruct", "synthetic")


def test_the_training_history_is_part_of_the_report(measured):
    paths = measured({"log": "a"})
    report = evaluate(replace(paths, history=History(((1, 2.0), (2, 1.0)))), CONFIG, 0)
    assert report.training.loss_fell and report.training.sentence in report.summary


def test_the_same_inputs_give_the_same_bytes(report_of, tmp_path):
    for name in ("first", "second"):
        write_record(tmp_path / name, report_of(*FOUR, DGP, root=tmp_path / f"{name}.data"))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_data_digest_is_of_what_was_measured_and_the_fingerprint_of_how(report_of, tmp_path):
    base = report_of({"log": "a"}, root=tmp_path / "0")
    other_model = report_of({"log": "a", "noise": 0.2}, root=tmp_path / "1")
    other_data = report_of({"log": "a", "lidar": True}, root=tmp_path / "2")
    shorter = report_of({"log": "a", "n_frames": 4}, root=tmp_path / "3")
    assert other_model.data.sha256 == base.data.sha256 != other_data.data.sha256
    assert base.protocol_fingerprint == other_data.protocol_fingerprint != shorter.protocol_fingerprint


def _break(paths, **changes):
    path = paths.reconstruct / "index.json"
    index = json.loads(path.read_text())
    index["clips"][0] |= changes
    path.write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("clip", "changes", "words"),
    [
        ({"log": "a"}, {"log_id": "b"}, "another preparation"),
        ({"log": "a"}, {"same_log": True}, "cannot be measured as it was rendered"),
        (DGP, {"same_log": False}, "cannot be measured as it was rendered"),
        (DGP, {"context_frames": [1, 3, 6], "target_frames": [0, 2, 4, 5]}, r"training may read: \[0\]"),
        ({"log": "a"}, {"clip_id": "unknown"}, "clip unknown is not in"),
    ],
)
def test_renders_that_would_make_false_numbers_are_refused(measured, clip, changes, words):
    paths = measured(clip)
    _break(paths, **changes)
    with pytest.raises(DataError, match=words):
        evaluate(paths, CONFIG, 0)


def test_progress_counts_clips(measured):
    seen = []
    evaluate(measured(*FOUR), CONFIG, 0, Watch(clips=lambda done, total: seen.append((done, total))))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
