"""Two models on the same clips: by hand, by slice, by distance, and what cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.base import fingerprint
from evaluation.compare import compare
from evaluation.generation.features import FeatureTable, GroupFeatures, Rows, write_features
from evaluation.metrics.distance_intervals import difference_interval
from evaluation.metrics.distances import kernel_distance
from evaluation.report import Report
from tests.evaluation.gating import CHAMPION, GOOD, report
from tests.evaluation.videos import PSNR, video_group
from worldmodel.errors import DataError, ProtocolMismatchError

KVD, KVD_TOK = "video/kvd@i3d-k400", "video/kvd-tok@i3d-k400"


def pair(ours, theirs, light=("day",)):
    return report(light=light, synthetic=ours), report(sha256=CHAMPION, light=light, synthetic=theirs)


def test_differences_are_paired_by_clip_with_a_verdict_in_the_metrics_direction():
    ours, theirs = pair(GOOD, {"image/psnr": [19.0, 21.1, 19.9, 20.0], "depth/rmse": [2.0, 1.1, 2.9, 2.0]})
    found = compare(ours, theirs)
    assert (found.challenger_report_sha256, found.champion_report_sha256) == (fingerprint(ours), fingerprint(theirs))
    psnr, rmse = (found.find(f"synthetic/test/{name}") for name in ("image/psnr", "depth/rmse"))
    assert (psnr.challenger, psnr.champion, psnr.difference) == (21.0, 20.0, pytest.approx(1.0))
    assert (psnr.n_clips, psnr.n_logs, psnr.corrected_for) == (4, 4, 1)
    assert psnr.ci95.low > 0.5 and psnr.verdict == "better"
    assert rmse.difference == pytest.approx(1.0) and rmse.verdict == "worse"


def test_a_planted_tie_cannot_be_told():
    ours, theirs = pair({"image/psnr": [20.0, 22.0, 21.0, 19.0]}, {"image/psnr": [21.0, 21.0, 20.0, 20.0]})
    found = compare(ours, theirs).find("synthetic/test/image/psnr")
    assert found.verdict == "cannot tell" and found.ci95.low < 0 < found.ci95.high


def test_a_model_is_as_good_as_itself():
    ours, theirs = pair(GOOD, GOOD)
    assert {d.verdict for d in compare(ours, theirs).differences} == {"cannot tell"}
    assert {d.difference for d in compare(ours, theirs).differences} == {0.0}


def test_a_regression_by_night_alone_is_told_by_its_slice_and_corrected_for_all_slices():
    ours, theirs = pair(
        {"image/psnr": [28.0, 20.0, 28.2, 20.1, 28.1, 19.9, 28.0, 20.0]},
        {"image/psnr": [24.0, 22.0] * 4},
        light=("day", "night"),
    )
    found = compare(ours, theirs)
    night, day = (found.find(f"synthetic/test/image/psnr/light={name}") for name in ("night", "day"))
    assert (night.n_clips, night.verdict, night.difference) == (4, "worse", pytest.approx(-2.0))
    assert (day.verdict, day.difference) == ("better", pytest.approx(4.075))
    assert {d.slice: d.corrected_for for d in found.differences} == {
        None: 1,
        "light=day": 3,
        "light=night": 3,
        "camera=front": 3,
    }
    assert found.find("synthetic/test/image/psnr").difference == pytest.approx(1.0375)


def test_slices_of_too_few_clips_are_not_compared():
    ours, theirs = pair(*[{"image/psnr": [20.0] * 5}] * 2, light=("day", "day", "day", "day", "night"))
    found = compare(ours, theirs)
    assert {d.slice for d in found.differences} == {None, "light=day", "camera=front"}
    assert found.left_out == {"synthetic/test/image/psnr/light=night": "1 clips, and a slice needs 4"}


def test_a_value_that_one_of_the_two_lacks_is_left_out_with_its_reason():
    ours, theirs = pair(GOOD, GOOD | {"image/psnr": [None, 20.0, 20.0, 20.0]})
    assert compare(ours, theirs).left_out == {"synthetic/test/image/psnr": "one of the two has no value"}
    ours, theirs = pair(GOOD, {"image/psnr": GOOD["image/psnr"]})
    assert compare(ours, theirs).left_out == {"synthetic/test/depth/rmse": "the champion was not measured so"}
    ours, theirs = pair(GOOD, GOOD | {"image/psnr": [20.0] * 3})
    assert compare(ours, theirs).left_out == {"synthetic/test/image/psnr": "the two were measured on different clips"}


def test_videos_are_paired_by_clip_and_baselines_are_not_models():
    groups = [video_group(values={"repeat_last_frame": 9.0, "dmd": value}, metrics=(PSNR,)) for value in (22.0, 21.0)]
    ours, theirs = report(groups[0], synthetic=GOOD), report(groups[1], sha256=CHAMPION, synthetic=GOOD)
    found = [d for d in compare(ours, theirs).differences if d.method is not None]
    assert [(d.method, d.metric, d.difference, d.verdict) for d in found] == [("dmd", PSNR, 1.0, "better")]


def test_clips_of_logs_that_training_saw_are_not_compared():
    ours, theirs = (report(sha256=sha, same_log=("synthetic",), synthetic=GOOD) for sha in ("a" * 64, CHAMPION))
    assert compare(ours, theirs).differences == ()


def test_other_data_and_other_protocols_are_errors():
    ours = report(synthetic=GOOD)
    with pytest.raises(DataError, match="reports are of other data"):
        compare(ours, report(sha256=CHAMPION, data="e" * 64, synthetic=GOOD))
    with pytest.raises(DataError, match="reports are of other data"):
        compare(ours, report(sha256=CHAMPION, light=("dusk",), synthetic=GOOD))
    with pytest.raises(ProtocolMismatchError, match=r"protocol\.extractors"):
        compare(ours, report(sha256=CHAMPION, extractors=(), synthetic=GOOD))


# --- distances

RNG = np.random.default_rng(1)
ROWS = Rows(tuple(f"s{i}" for i in range(12)), tuple(f"l{i // 2}" for i in range(12)))
REFERENCE = RNG.normal(size=(12, 4)).astype(np.float32)


def table(shift):
    made = (np.random.default_rng(2).normal(size=(12, 4)) + shift).astype(np.float32)
    return FeatureTable({"dmd": made}, ROWS, REFERENCE, ROWS)


def with_features(root, found, sha256, tables=None, metrics=(KVD,)):
    """A report whose kernel distance of dmd is that of the table, and the directory of its features."""
    value = kernel_distance(found.true.values, found.of("dmd").values)
    group = video_group(values={"dmd": value}, metrics=metrics)
    directory = root / sha256[:4]
    write_features(directory, [GroupFeatures("synthetic", "test", tables or {"i3d-k400": found})])
    return report(group, sha256=sha256, synthetic=GOOD), directory


def test_distances_are_paired_by_leaving_out_logs_of_both_at_once(tmp_path):
    near, far = table(0.1), table(0.8)
    ours, here = with_features(tmp_path, near, "a" * 64)
    theirs, there = with_features(tmp_path, far, CHAMPION)
    found = compare(ours, theirs, here, there).find(f"synthetic/test/dmd/{KVD}")
    expected = difference_interval(kernel_distance, near.true, near.of("dmd"), far.of("dmd").values)
    assert found.difference == pytest.approx(expected.value)
    assert (found.ci95.low, found.ci95.high) == pytest.approx(expected.ci95)
    assert found.verdict == "better" and found.difference < 0


def test_what_distances_cannot_be_paired_is_left_out_with_its_reason(tmp_path):
    near, name = table(0.1), f"synthetic/test/dmd/{KVD}"
    ours, here = with_features(tmp_path / "ours", near, "a" * 64)

    def reason(other, tables=None):
        theirs, there = with_features(tmp_path / "theirs", other, CHAMPION, tables)
        return compare(ours, theirs, here, there).left_out[name]

    far = table(0.8)
    assert "another tokenizer" in reason(replace(far, reference=REFERENCE + 1))
    assert (
        reason(replace(far, made_rows=Rows(ROWS.samples[::-1], ROWS.logs))) == "the features are not of the same clips"
    )
    assert reason(far, {"i3d-k400": near}) == "the features are not those of the reports"
    assert reason(far, {"other": far}) == "no features of i3d-k400 were kept"
    (tmp_path / "theirs" / CHAMPION[:4] / "synthetic-test.safetensors").write_bytes(b"damaged")
    theirs = report(video_group(values={"dmd": 1.0}, metrics=(KVD,)), sha256=CHAMPION, synthetic=GOOD)
    left_out = compare(ours, theirs, here, tmp_path / "theirs" / CHAMPION[:4]).left_out
    assert left_out[name] == "the features of synthetic/test cannot be read"
    assert compare(ours, theirs).left_out[name] == "the features were not given"


def test_distances_through_a_tokenizer_have_features_of_their_own(tmp_path):
    found = table(0.1)
    ours, here = with_features(tmp_path, found, "a" * 64, {"i3d-k400-tok": found}, (KVD_TOK,))
    theirs, there = with_features(tmp_path, found, CHAMPION, {"i3d-k400-tok": found}, (KVD_TOK,))
    assert compare(ours, theirs, here, there).find(f"synthetic/test/dmd/{KVD_TOK}").verdict == "cannot tell"


def test_the_same_reports_give_the_same_comparison_byte_for_byte():
    ours, theirs = pair(GOOD, GOOD | {"image/psnr": [19.0, 23.0, 21.0, 20.0]})
    again = [Report.model_validate_json(one.model_dump_json()) for one in (ours, theirs)]
    assert compare(ours, theirs).model_dump_json() == compare(*again).model_dump_json()
