from dataclasses import replace

import numpy as np
import pytest

from evaluation.generation.features import read_features, write_features
from evaluation.generation.measure import measure_generation
from evaluation.metrics.distance_intervals import METHOD, difference_interval
from evaluation.metrics.distances import frechet
from evaluation.report import Statistics
from tests.evaluation.generation.toy import (
    PRESET,
    ToyFeatures,
    ToyVideoNetworks,
    edit_index,
    open_rollouts,
    slicing_of,
)
from worldmodel.errors import DataError, MissingDependencyError

STATISTICS = Statistics(resamples=200, seed=0)
FVD_TOK, KVD_TOK, PSNR = "video/fvd-tok@i3d-k400", "video/kvd-tok@i3d-k400", "video/psnr"
FID, KID, LPIPS = "image/fid@inception-2015-12-05", "image/kid@inception-2015-12-05", "video/lpips@lpips-alex"
METHODS = ["repeat_last_frame", "teacher_forcing", "teacher_forcing_4step", "dmd"]


def measure(rollouts, networks=None, progress=lambda done, total: None, **changes):
    preset = PRESET.model_copy(update=changes)
    slicing = slicing_of(rollouts)
    return measure_generation(rollouts, preset, slicing, STATISTICS, networks or ToyVideoNetworks(), progress)


def ids_of(method):
    """The metrics of videos against references and true frames; joint ones have a test of their own."""
    return [m.id for m in method.metrics if m.n_reference_clips or m.by_time]


@pytest.fixture
def found(rollouts):
    return measure(rollouts)


@pytest.fixture
def group(found):
    (group,) = found.groups
    return group


def test_every_method_stands_beside_its_baseline_and_floors(group):
    roles = {"true_frames": "floor", "tokenizer": "floor", "repeat_last_frame": "baseline"}
    names = ["true_frames", "tokenizer", *METHODS]
    assert [(m.name, m.role) for m in group.methods] == [(name, roles.get(name, "method")) for name in names]
    assert (group.n_clips, group.n_logs, group.n_reference_clips, group.n_reference_logs) == (6, 6, 5, 5)
    raw = ["video/fvd@i3d-k400", "video/kvd@i3d-k400", FID, KID]
    assert ids_of(group.method("true_frames")) == raw
    assert ids_of(group.method("dmd")) == [FVD_TOK, KVD_TOK, *raw, PSNR, LPIPS]
    values = [group.metric(name, KVD_TOK).value for name in ("tokenizer", "dmd", "teacher_forcing_4step")]
    assert values[0] < values[1] < values[2]
    assert (group.metric("dmd", FID).n_rows, group.metric("dmd", KVD_TOK).n_rows) == (12, 6)


def test_comparisons_are_paired_and_say_where_the_interval_covers_zero(group):
    dmd = group.metric("dmd", PSNR)
    assert set(dmd.against) == {"repeat_last_frame", "teacher_forcing_4step"}
    clear = dmd.against["teacher_forcing_4step"]
    assert clear.ci95.low > 0 and "better than teacher_forcing_4step on video/psnr" in clear.sentence
    assert "covers zero" not in clear.sentence
    for metric_id in (KVD_TOK, LPIPS, FID):
        assert set(group.metric("teacher_forcing", metric_id).against) == {"repeat_last_frame"}
        assert group.metric("repeat_last_frame", metric_id).against == {}
    assert group.metric("tokenizer", PSNR).against == {}


def test_no_difference_is_said_to_be_none(rollouts):
    for sample in rollouts.index.samples[:6]:
        folder = rollouts.root / "videos"
        same = folder / "dmd" / f"{sample.sample_id}.safetensors"
        (folder / "teacher_forcing_4step" / same.name).write_bytes(same.read_bytes())
    (group,) = measure(rollouts).groups
    for metric_id in (KVD_TOK, FID, LPIPS, PSNR):
        comparison = group.metric("dmd", metric_id).against["teacher_forcing_4step"]
        assert comparison.difference == 0.0 and "covers zero, so no difference is shown" in comparison.sentence
    assert "covers zero" in group.sentence


def test_too_few_logs_leave_what_is_of_single_clips_and_a_reason_and_open_no_network_of_distances(rollouts):
    found = measure(rollouts, ToyVideoNetworks(closed=True), min_logs=6)
    (group,) = found.groups
    reason = "5 logs of reference clips, and a distance needs 6: no FVD claim"
    assert group.no_distances == reason and reason in group.sentence
    assert all(ids_of(m) == [PSNR, LPIPS] for m in group.methods if m.name != "true_frames")
    (entry,) = [n for n in found.not_applicable if n.reason == reason]
    assert entry.what == "FVD and KVD of videos, FID and KID of their frames on synthetic"
    assert [identity.id for identity in found.extractors] == ["lpips-alex"] and found.features == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"window": 7}, "videos of 7 frames, and the protocol measures 7 after the given one"),
        ({"window": 8, "given_counts": True}, "videos of 7 frames, and the protocol measures 8 with the given one"),
        ({"window": 3}, "the protocol measures 3 frames at a time, and the video network needs 4"),
    ],
)
def test_videos_too_short_for_the_window_or_the_network_have_no_distance(rollouts, changes, reason):
    networks = ToyVideoNetworks()
    (group,) = measure(rollouts, networks, **changes).groups
    assert group.no_distances == reason and networks.of_videos.known == {}


def test_the_given_frame_is_in_the_first_window_where_the_protocol_has_it_so(rollouts):
    networks = ToyVideoNetworks()
    measure(rollouts, networks, window=7, given_counts=True)
    sample = rollouts.index.samples[0]
    with_given = networks.of_videos.of(rollouts.made("dmd", sample))
    assert any(np.array_equal(known, with_given) for known in networks.of_videos.known.values())


def test_a_long_video_is_measured_window_by_window(rollouts):
    networks = ToyVideoNetworks(min_frames=2)
    (group,) = measure(rollouts, networks, window=3, image_stride=2, lpips_stride=4).groups
    dmd = group.method("dmd")
    assert [(window.first, window.last) for window in dmd.windows] == [(1, 3), (4, 6)]
    first, second = ({metric.id: metric for metric in window.metrics} for window in dmd.windows)
    assert first[KVD_TOK] == dmd.metric(KVD_TOK).model_copy(update={"against": {}})
    assert first[KVD_TOK].value != second[KVD_TOK].value and (first[FID].n_rows, second[FID].n_rows) == (6, 12)
    assert LPIPS not in first and [at.time_s for at in second[LPIPS].by_time] == [0.4]
    assert second[PSNR].value == pytest.approx(np.mean([at.value for at in dmd.metric(PSNR).by_time[3:]]))
    (alone,) = measure(rollouts).groups
    assert all(method.windows == () for method in alone.methods)


def test_missing_weights_are_an_error_and_never_a_gap(rollouts):
    class NoWeights(ToyFeatures):
        def cached(self, digest, load, name=""):
            raise MissingDependencyError("no weights", fix="worldmodel metrics fetch-weights")

    networks = ToyVideoNetworks()
    networks.of_videos = NoWeights()
    with pytest.raises(MissingDependencyError, match="fetch-weights"):
        measure(rollouts, networks)


def test_a_network_of_random_weights_enters_no_result(rollouts):
    with pytest.raises(DataError, match="a synthetic network"):
        measure(rollouts, ToyVideoNetworks("synthetic"))
    with pytest.raises(DataError, match=r"video/lpips@lpips-alex(.|\n)*a synthetic network"):
        measure(rollouts, ToyVideoNetworks("synthetic"), min_logs=64)


def test_dead_features_leave_the_problem_in_place_of_a_value(rollouts):
    class Dead(ToyFeatures):
        def of(self, frames):
            return np.zeros(4)

    networks = ToyVideoNetworks()
    networks.of_videos = Dead()
    (group,) = measure(rollouts, networks).groups
    metric = group.metric("dmd", KVD_TOK)
    assert metric.value is None and metric.problem == "the features of all 6 generated rows are one and the same"
    assert metric.against == {} and group.metric("dmd", KID).against != {}


def test_videos_of_another_rate_than_the_protocols_are_refused(rollouts):
    with pytest.raises(DataError, match=r"expected: rate_hz 12(.|\n)*rate_hz 10"):
        measure(rollouts, rate_hz=12.0)


def test_clips_of_several_sizes_have_no_distance(rollouts, monkeypatch):
    sizes = {sample.sample_id: (48, 64) for sample in rollouts.index.samples[:1]}
    monkeypatch.setattr(type(rollouts), "size", lambda _, sample: sizes.get(sample.sample_id, (24, 32)))
    (group,) = measure(rollouts, ToyVideoNetworks()).groups
    assert group.no_distances == "clips of 24x32 and 48x64 pixels, and a distance needs one size"


def test_fewer_reference_clips_are_said_and_more_are_not_used(six, root, rollouts, found):
    whats = {entry.what: entry.reason for entry in found.not_applicable}
    assert whats["as many reference clips on synthetic"] == "5 clips of other logs for 6 generated ones"
    edit_index(root, lambda index: index.update(samples=index["samples"][2:]))
    (group,) = measure(open_rollouts(root, six.prepare)).groups
    assert group.n_clips == group.n_reference_clips == 4


def test_a_log_that_was_generated_from_is_no_reference(six, root):
    """A reference clip of a generated log is left out; here all of them are, so no distance remains."""

    def same_log(index):
        reference = [s for s in index["samples"] if s["role"] == "reference"]
        test = [s for s in index["samples"] if s["role"] == "generated"]
        for sample, other in zip(reference, test, strict=False):
            sample.update({key: other[key] for key in ("clip_id", "log_id", "split")})

    edit_index(root, same_log)
    (group,) = measure(open_rollouts(root, six.prepare), ToyVideoNetworks(closed=True)).groups
    assert group.n_reference_clips == 0 and "0 logs of reference clips" in group.no_distances


def test_the_features_behind_the_report_come_back_from_their_file(found, group, tmp_path):
    (path,) = write_features(tmp_path, found.features)
    table = read_features(path)["i3d-k400-tok"]
    dmd, other = table.of("dmd"), table.of("teacher_forcing_4step")
    assert frechet(table.true.values, dmd.values) == group.metric("dmd", FVD_TOK).value
    paired = difference_interval(frechet, table.true, dmd, other.values)
    against = group.metric("dmd", FVD_TOK).against["teacher_forcing_4step"]
    assert (against.ci95.low, against.ci95.high) == paired.ci95 and against.difference == paired.value
    assert path.name == "synthetic-test.safetensors"


def test_slices_are_of_the_student_and_the_baseline_by_tag_and_camera(group):
    found = {(s.method, s.metric, s.slice): s for s in group.slices}
    assert {s.method for s in group.slices} == {"dmd", "repeat_last_frame"}
    whole = found["dmd", PSNR, "weather=clear"]
    assert whole.value == pytest.approx(group.metric("dmd", PSNR).value) and (whole.n_clips, whole.min_clips) == (6, 2)
    assert found["dmd", LPIPS, "camera=left"].n_logs == 6
    assert not any("fvd" in s.metric or "fid" in s.metric for s in group.slices)


def test_what_was_left_out_is_listed_with_its_reason(six, root):
    left_out = [
        {"method": "ode", "reason": "no weights"},
        {"sample_id": "a.left.000", "reason": "max_samples is 2"},
        {"sample_id": "b.left.000", "reason": "max_samples is 2"},
        {"sample_id": "c.left.000", "source": "street", "reason": "one log"},
    ]
    edit_index(root, lambda index: index.update(left_out=left_out))
    found = measure(open_rollouts(root, six.prepare))
    assert [(n.what, n.reason) for n in found.not_applicable][-3:] == [
        ("method ode", "no weights"),
        ("videos from 2 held-out clips", "max_samples is 2"),
        ("videos from 1 held-out clip of street", "one log"),
    ]
    assert (found.not_applicable[-1].stage, found.not_applicable[-1].source) == ("rollout", "street")


def test_joint_measures_stand_beside_the_others_and_say_what_they_lack(found, group):
    floor, dmd = group.metric("true_frames", "video/action-following"), group.metric("dmd", "video/action-following")
    entries = [n for n in found.not_applicable if n.what.startswith("video/action-following")]
    assert (floor is None) == (dmd is None) and bool(entries) == (dmd is None or dmd.n_clips < 6)
    crossed = [n for n in found.not_applicable if n.what == "video/cross-view-psnr of 6 clips of synthetic"]
    assert len(crossed) == 1 and crossed[0].source == "synthetic"


def test_progress_ends_at_its_total(rollouts):
    seen = []
    measure(rollouts, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_extractors_are_named_once_and_the_data_digest_covers_the_clips(six, root, rollouts, found):
    ids = ["i3d-k400", "inception-2015-12-05", "lpips-alex"]
    assert [identity.id for identity in found.extractors] == ids
    assert (found.protocol.measured_frames, found.protocol.rate_hz) == (6, 10.0)
    edit_index(root, lambda index: index["samples"].pop())
    assert measure(open_rollouts(root, six.prepare)).data_sha256 != found.data_sha256
    assert STATISTICS.distances == METHOD


def test_the_same_videos_give_the_same_report(rollouts, found):
    again = measure(rollouts)
    assert again.groups == found.groups and again.not_applicable == found.not_applicable
    assert replace(again, features=()) == replace(found, features=())
