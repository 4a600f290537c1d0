import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from evaluation.base import Interval, canonical_json, fingerprint
from evaluation.report import Report


@pytest.fixture
def raw(make_report):
    """A valid report as plain JSON data, to break."""
    return json.loads(canonical_json(make_report(synthetic={"image/psnr": [20.0, 22.0], "depth/rmse": [3.0, 4.0]})))


def test_a_report_survives_the_way_to_json_and_back(raw):
    report = Report.model_validate(raw)
    assert Report.model_validate_json(canonical_json(report)) == report
    assert fingerprint(report) == fingerprint(Report.model_validate_json(canonical_json(report)))


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert (
        canonical_json({"b": 0.1, "a": [1, None]})
        == canonical_json({"a": [1, None], "b": 0.1})
        == '{"a":[1,null],"b":0.1}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_never_written(value):
    with pytest.raises(ValueError):
        canonical_json({"value": value})


def test_nan_is_never_read(raw):
    raw["groups"][0]["metrics"][0]["value"] = float("nan")
    with pytest.raises(ValidationError, match="finite"):
        Report.model_validate_json(json.dumps(raw))


@pytest.mark.parametrize("version", ["worldmodel.report/2", "worldmodel.decision/1", "", None, 1])
def test_another_schema_version_is_refused(raw, version):
    raw["schema_version"] = version
    with pytest.raises(ValidationError, match="schema_version"):
        Report.model_validate(raw)


def test_unknown_keys_are_refused(raw):
    raw["groups"][0]["vaule"] = 1
    with pytest.raises(ValidationError, match="vaule"):
        Report.model_validate(raw)


def test_a_protocol_that_was_changed_no_longer_fits_its_fingerprint(raw):
    raw["protocol"]["context_stride"] = 2
    with pytest.raises(ValidationError, match="protocol_fingerprint"):
        Report.model_validate(raw)


def _metric(raw, **changes):
    raw["groups"][0]["metrics"][0] |= changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": 25.0}, "not the mean of its clips"),
        ({"value": None}, "a null value needs a problem"),
        ({"problem": "NaN somewhere"}, "a null value needs a problem"),
        ({"n_images": 3}, "n_images, n_clips, n_logs"),
        ({"n_logs": 1}, "n_images, n_clips, n_logs"),
        ({"per_clip": []}, "at least 1 item"),
    ],
)
def test_a_metric_that_contradicts_itself_is_refused(raw, changes, message):
    _metric(raw, **changes)
    with pytest.raises(ValidationError, match=message):
        Report.model_validate(raw)


def test_a_clip_counted_twice_is_refused(raw):
    metric = raw["groups"][0]["metrics"][0]
    _metric(raw, per_clip=metric["per_clip"] * 2, n_images=4)
    with pytest.raises(ValidationError, match="n_images, n_clips, n_logs"):
        Report.model_validate(raw)


def test_a_difference_that_is_not_value_minus_baseline_is_refused(raw):
    raw["groups"][0]["metrics"][0]["baselines"]["nearest_context"]["difference"] = 9.0
    with pytest.raises(ValidationError, match="difference to nearest_context"):
        Report.model_validate(raw)


def test_the_same_metric_or_group_twice_is_refused(raw):
    twice = json.loads(json.dumps(raw))
    twice["groups"][0]["metrics"] *= 2
    with pytest.raises(ValidationError, match="a metric appears twice"):
        Report.model_validate(twice)
    raw["groups"] *= 2
    with pytest.raises(ValidationError, match="appears twice"):
        Report.model_validate(raw)


def _slice(**changes):
    place = {"slice": "light=night", "metric": "image/psnr", "unit": "dB", "direction": "up", "min_clips": 1}
    return place | {"value": 20.0, "n_clips": 1, "n_logs": 1, "ci95": None, "no_interval": "1 log"} | changes


def test_a_slice_twice_or_of_no_metric_is_refused(raw):
    raw["groups"][0]["slices"] = [_slice(), _slice(slice="light=day")]
    assert len(Report.model_validate(raw).groups[0].slices) == 2
    for broken in ([_slice(), _slice()], [_slice(metric="image/ssim")]):
        raw["groups"][0]["slices"] = broken
        with pytest.raises(ValidationError, match="a slice appears twice, or of a metric that is not there"):
            Report.model_validate(raw)


def _clip(i, **changes):
    place = {"clip_id": f"c{i}", "log_id": f"l{i}", "source": "synthetic", "split": "test", "same_log": False}
    return place | {"sha256": str(i), "pixels_sha256": str(i)} | changes


@pytest.mark.parametrize("changes", [{"clip_id": "c9"}, {"log_id": "l9"}, {"split": "val"}, {"source": "fleet"}])
def test_values_of_a_clip_that_is_not_named_are_refused(raw, changes):
    raw["clips"] = [_clip(0), _clip(1)]
    Report.model_validate(raw)
    raw["clips"][1] |= changes
    with pytest.raises(ValidationError, match="clips that the report does not name"):
        Report.model_validate(raw)


def test_one_recording_under_two_names_is_refused(raw):
    raw["clips"] = [_clip(0), _clip(1, pixels_sha256="0")]
    with pytest.raises(ValidationError, match="a content appears twice"):
        Report.model_validate(raw)


def test_an_interval_is_in_order():
    with pytest.raises(ValidationError, match="above high"):
        Interval(low=2.0, high=1.0)


def test_groups_and_metrics_are_found_by_name(make_report):
    report = make_report(synthetic={"image/psnr": [20.0]})
    assert report.group("synthetic", "test").metric("image/psnr").value == 20.0
    assert report.group("synthetic", "val") is None
    assert report.group("synthetic", "test").metric("image/psnr", "dynamic") is None


def test_report_and_gate_need_only_the_standard_library_and_pydantic():
    code = "import sys, evaluation.gate, evaluation.report; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "torch", "pandas", "yaml", "matplotlib", "rich"} & set(loaded)
