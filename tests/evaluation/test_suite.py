import json
from dataclasses import replace

import numpy as np
import pytest

from evaluation.config import EvaluateConfig
from evaluation.protocols import PRESETS, ReconstructionPreset
from evaluation.records import write_record
from evaluation.statistics import interval_over_logs
from evaluation.suite import Watch, evaluate, measure
from evaluation.training import History
from tests.evaluation import conftest
from tests.evaluation.conftest import build_clip
from tests.evaluation.generation import toy
from tests.evaluation.toy_perceptual import ToyNetworks
from worldmodel.errors import DataError, ParamsError

CONFIG = EvaluateConfig(protocol="debug", bootstrap_resamples=200)
LEARNED = ReconstructionPreset(context_stride=5, lpips=("alex",), lpips_stride=2, dists_stride=1)
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
    assert [clip.n_images for clip in metric.per_clip] == [10, 4]
    assert metric.per_clip[0].value == 100.0
    assert metric.value == pytest.approx((100.0 + metric.per_clip[1].value) / 2)
    assert (metric.n_images, metric.n_clips, metric.n_logs) == (14, 2, 2)


def test_intervals_are_those_of_a_bootstrap_over_logs(report_of):
    report = report_of(*FOUR)
    metric = report.group("synthetic", "test").metric("image/psnr")
    logs = [clip.log_id for clip in metric.per_clip]
    assert metric.ci95 == interval_over_logs([c.value for c in metric.per_clip], logs, report.statistics)
    nearest = metric.baselines["nearest_context"]
    differences = [clip.value - clip.baselines["nearest_context"] for clip in metric.per_clip]
    assert nearest.difference == pytest.approx(np.mean(differences))
    assert nearest.difference_ci95 == interval_over_logs(differences, logs, report.statistics)


def test_with_two_logs_there_is_no_interval_and_the_reason(report_of):
    metric = report_of({"log": "a"}, {"log": "a"}, {"log": "b"}).group("synthetic", "test").metric("image/psnr")
    assert metric.ci95 is None and metric.baselines["nearest_context"].difference_ci95 is None
    assert metric.no_interval == "2 logs: an interval over logs needs 3"


def test_sources_and_same_log_clips_are_separate_groups(report_of):
    report = report_of({"log": "a"}, {"log": "b", "source": "fleet"}, DGP)
    assert [(group.source, group.split, group.same_log) for group in report.groups] == [
        ("fleet", "test", False),
        ("synthetic", "test", False),
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
    assert metric.problem == "NaN in 1 of 20 images, first in clip synthetic-001, frame 2, camera left"
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
    assert report.not_applicable[-1].reason == "reconstruct rendered no clip that counts"


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
        (DGP, {"context_frames": [1, 3, 6], "target_frames": [0, 2, 4, 5]}, "not rendered as the protocol says"),
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


def test_what_the_protocol_does_not_count_is_neither_measured_nor_part_of_the_data(measured, tmp_path):
    alone = evaluate(measured({"log": "a"}, root=tmp_path / "alone"), CONFIG, 0)
    beside = evaluate(measured({"log": "a"}, {"log": "b", "split": "val"}, root=tmp_path / "beside"), CONFIG, 0)
    assert beside.groups == alone.groups and beside.clips == alone.clips
    assert beside.data.sha256 == alone.data.sha256 and beside.protocol_fingerprint == alone.protocol_fingerprint
    assert "the protocol debug is of the test split" in [entry.reason for entry in beside.not_applicable]


def test_the_report_names_its_protocol_and_every_network_that_it_used(measured, monkeypatch):
    preset = PRESETS["debug"].model_copy(update={"reconstruction": LEARNED})
    monkeypatch.setitem(PRESETS, "debug", preset)
    report = evaluate(replace(measured({"log": "a"}), networks=ToyNetworks()), CONFIG, 0)
    assert report.protocol.preset == preset
    assert [extractor.id for extractor in report.protocol.extractors] == ["dists-v0.1", "lpips-alex"]
    group = report.group("synthetic", "test")
    lpips = group.metric("image/lpips@lpips-alex")
    assert (lpips.n_images, lpips.unit, lpips.direction) == (6, "1", "down")
    assert lpips.baselines["nearest_context"].difference < 0
    assert group.metric("image/lpips@lpips-alex", "dynamic") is not None
    assert group.metric("image/dists@dists-v0.1").n_images == 10


def test_networks_are_not_asked_for_where_nothing_was_rendered(measured, monkeypatch):
    preset = PRESETS["debug"].model_copy(update={"reconstruction": LEARNED})
    monkeypatch.setitem(PRESETS, "debug", preset)
    assert evaluate(measured(sources=["synthetic"]), CONFIG, 0).protocol.extractors == ()


def test_an_unknown_protocol_is_refused_by_name(measured):
    with pytest.raises(ParamsError, match="protocol nonsense"):
        evaluate(measured({"log": "a"}), CONFIG.model_copy(update={"protocol": "nonsense"}), 0)


def test_every_metric_of_whole_images_has_slices_with_the_minimum_that_was_asked_for(report_of):
    group = report_of(*FOUR).group("synthetic", "test")
    slices = {(s.slice, s.metric): s for s in group.slices}
    names = ["weather=clear", "light=day", "speed=standing", "turn=straight", "dynamic=above 3 %"]
    assert [name for name, metric in slices if metric == "image/psnr"] == [*names, "camera=left", "camera=right"]
    psnr, day = group.metric("image/psnr"), slices["light=day", "image/psnr"]
    assert (day.value, day.ci95, day.n_clips, day.min_clips) == (psnr.value, psnr.ci95, 4, 4)
    left = slices["camera=left", "image/psnr"]
    assert left.value == pytest.approx(np.mean([clip.by_camera["left"] for clip in psnr.per_clip]))
    assert ("camera=left", "scene/gaussians") not in slices


def test_the_report_names_every_measured_clip_with_its_slices(report_of):
    report = report_of({"log": "b"}, {"log": "a"})
    assert [(clip.clip_id, clip.log_id, clip.split) for clip in report.clips] == [
        ("synthetic-000", "b", "test"),
        ("synthetic-001", "a", "test"),
    ]
    assert report.clips[0].slices["light"] == "day"


def test_one_recording_under_two_names_is_refused_by_both(monkeypatch, report_of):
    monkeypatch.setattr(conftest, "build_clip", lambda clip_id, made, seed: build_clip(clip_id, made, 0))
    with pytest.raises(DataError, match="show the same frames") as caught:
        report_of({"log": "a"}, {"log": "b"})
    assert caught.value.got == "synthetic-000 and synthetic-001"


@pytest.fixture(scope="module")
def two_models(write_measured, tmp_path_factory):
    """Two models measured on the same four test logs, renders and videos, with four training logs as reference."""
    logs = [{"log": f"test-{i}"} for i in range(4)]
    logs += [{"log": f"train-{i}", "split": "train", "same_log": True} for i in range(4)]
    found = []
    for noise, darker in ((0.02, 4.0), (0.3, 50.0)):
        root = tmp_path_factory.mktemp("model")
        paths = write_measured(root, *(log | {"noise": noise} for log in logs))
        methods = {"repeat_last_frame": toy.repeated, "dmd": toy.darker(darker)}
        rollout = toy.write_rollouts(root / "rollout", paths.prepare, methods)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(PRESETS, "debug", PRESETS["debug"].model_copy(update={"generation": toy.PRESET}))
            found.append(measure(replace(paths, rollout=rollout, networks=toy.ToyVideoNetworks()), CONFIG, 0))
    return found


def test_two_models_measured_on_the_same_data_have_one_data_digest_and_one_protocol(two_models):
    good, bad = (evaluation.report for evaluation in two_models)
    assert good.data == bad.data and good.protocol_fingerprint == bad.protocol_fingerprint
    assert good.clips == bad.clips
    assert good.groups[0].metric("image/psnr").value > bad.groups[0].metric("image/psnr").value
    videos = [report.generated("synthetic", "test").metric("dmd", "video/psnr").value for report in (good, bad)]
    assert videos[0] > videos[1]


def test_videos_and_renders_share_clips_networks_and_slices_and_the_features_are_handed_on(two_models):
    found = two_models[0]
    report = found.report
    assert [e.id for e in report.protocol.extractors] == ["i3d-k400", "inception-2015-12-05", "lpips-alex"]
    assert len(report.clips) == 8 and len([clip for clip in report.clips if clip.same_log]) == 4
    group = report.generated("synthetic", "test")
    assert {"light=day", "camera=left"} <= {s.slice for s in group.slices if s.method == "dmd"}
    assert [(features.source, features.split) for features in found.features] == [("synthetic", "test")]
    assert {"i3d-k400", "i3d-k400-tok"} <= set(found.features[0].tables)


def test_videos_are_refused_without_networks(measured, tmp_path):
    paths = measured({"log": "a"})
    rollout = toy.write_rollouts(tmp_path / "rollout", paths.prepare)
    with pytest.raises(DataError, match="no networks were given"):
        evaluate(replace(paths, rollout=rollout), CONFIG, 0)
