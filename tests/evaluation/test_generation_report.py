import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from evaluation.base import canonical_json
from evaluation.generation_report import GenerationGroup
from evaluation.report import Report
from tests.evaluation.videos import KVD_TOK, PSNR, video_group


@pytest.fixture
def raw():
    """A valid group as plain JSON data, to break: repeat_last_frame, teacher_forcing_4step and dmd."""
    return json.loads(canonical_json(video_group(metrics=(KVD_TOK, PSNR))))


def test_a_group_survives_the_way_to_json_and_back(raw):
    assert GenerationGroup.model_validate(raw) == video_group(metrics=(KVD_TOK, PSNR))


def test_methods_and_metrics_are_found_by_name(raw):
    group = GenerationGroup.model_validate(raw)
    assert group.metric("dmd", KVD_TOK).against["repeat_last_frame"].difference == -60.0
    assert group.metric("ode", KVD_TOK) is None is group.metric("dmd", "video/fvd@i3d-k400")


@pytest.mark.parametrize(
    ("metric", "changes", "message"),
    [
        (0, {"value": None}, "a null value needs a problem"),
        (0, {"problem": "odd"}, "a null value needs a problem"),
        (0, {"value": float("nan")}, "finite"),
        (0, {"ci95": None}, "either an interval or the reason"),
        (0, {"no_interval": "why"}, "either an interval or the reason"),
        (0, {"value": 41.0}, "difference to repeat_last_frame is not value - value"),
        (0, {"n_reference_clips": 0}, "either reference clips or values by clip"),
        (0, {"n_reference_logs": 3}, "reference counts are not those of the group"),
        (0, {"n_clips": 3}, "counts are not those of the group"),
        (1, {"value": 39.0}, "not the mean of its clips"),
        (1, {"n_logs": 3}, "not those of per_clip"),
        (1, {"by_time": [{"time_s": 0.1, "value": 3.0}]}, "or of its times"),
        (1, {"by_time": [{"time_s": 0.0, "value": 40.0}]}, "greater than 0"),
    ],
)
def test_a_metric_that_contradicts_itself_or_its_group_is_refused(raw, metric, changes, message):
    raw["methods"][2]["metrics"][metric] |= changes
    with pytest.raises(ValidationError, match=message):
        GenerationGroup.model_validate(raw)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda raw: raw["methods"].append(raw["methods"][0]), "a method appears twice"),
        (lambda raw: raw["methods"][0]["metrics"].append(raw["methods"][0]["metrics"][0]), "a metric appears twice"),
        (lambda raw: raw.update(no_distances="1 log"), "although the group says that none was measured"),
        (lambda raw: raw["methods"].pop(0), "compared with repeat_last_frame, which has no value"),
        (
            lambda raw: raw["methods"][2]["metrics"][0]["against"]["repeat_last_frame"].update(ci95=None),
            "a comparison has either an interval or the reason",
        ),
        (lambda raw: raw.update(n_clips=0), "greater than or equal to 1"),
        (lambda raw: raw.update(kvd=1), "kvd"),
    ],
)
def test_a_group_that_contradicts_itself_is_refused(raw, edit, message):
    edit(raw)
    with pytest.raises(ValidationError, match=message):
        GenerationGroup.model_validate(raw)


def test_a_metric_may_be_of_some_clips_where_it_is_no_distance_and_not_by_time(raw):
    psnr = raw["methods"][0]["metrics"][1]
    fewer = psnr | {"per_clip": psnr["per_clip"][:5], "n_clips": 5, "n_logs": 5}
    raw["methods"][0]["metrics"].append(fewer | {"id": "video/revisit-psnr", "by_time": []})
    assert GenerationGroup.model_validate(raw).metric("repeat_last_frame", "video/revisit-psnr").n_clips == 5
    raw["methods"][0]["metrics"][-1] = fewer | {"id": "video/revisit-psnr"}
    with pytest.raises(ValidationError, match="counts are not those of the group"):
        GenerationGroup.model_validate(raw)


def test_without_a_value_there_are_no_values_by_clip(raw):
    none = {"value": None, "problem": "NaN in 1 of 8 clips", "ci95": None, "no_interval": "no value"}
    psnr = raw["methods"][0]["metrics"][1] | none | {"id": "video/lpips@lpips-alex", "by_time": []}
    raw["methods"][0]["metrics"].append(psnr | {"per_clip": []})
    assert GenerationGroup.model_validate(raw).metric("repeat_last_frame", "video/lpips@lpips-alex").value is None
    raw["methods"][0]["metrics"][-1] = psnr
    with pytest.raises(ValidationError, match="not the mean of its clips"):
        GenerationGroup.model_validate(raw)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda window: window["metrics"][0].update(n_clips=3), "counts are not those of the group"),
        (lambda window: window["metrics"][0].update(n_reference_logs=3), "reference counts are not those"),
        (lambda window: window.update(first=17), "first frame 17 is after the last 16"),
    ],
)
def test_a_window_that_contradicts_its_group_is_refused(raw, edit, message):
    metrics = [metric | {"against": {}} for metric in raw["methods"][0]["metrics"]]
    raw["methods"][0]["windows"] = [{"first": 1, "last": 16, "metrics": metrics}]
    assert GenerationGroup.model_validate(raw).methods[0].windows[0].metrics[0].id == KVD_TOK
    edit(raw["methods"][0]["windows"][0])
    with pytest.raises(ValidationError, match=message):
        GenerationGroup.model_validate(raw)


def test_the_same_group_twice_is_refused(make_report):
    report = make_report().model_copy(update={"generation": (video_group(), video_group())})
    with pytest.raises(ValidationError, match="generation: a"):
        Report.model_validate(report.model_dump(mode="json"))


def test_records_need_only_the_standard_library_and_pydantic():
    code = "import sys, evaluation.generation_report; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "torch", "safetensors", "rich"} & set(loaded)
