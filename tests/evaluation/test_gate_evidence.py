"""Whether numbers may be judged at all: every rule about evidence, by table."""

import pytest

from evaluation.base import fingerprint
from evaluation.evidence import NO_CHAMPION
from evaluation.gate import decide
from evaluation.protocols import PRESETS
from evaluation.report import Report
from tests.evaluation.gating import CHAMPION, GOOD, I3D, evidence, inputs, limits, report, rule, stopped
from tests.evaluation.videos import PSNR, video_group

MEASURED = report(synthetic=GOOD)
KNOWN = evidence(MEASURED)


def changed(part, **changes):
    return {part: getattr(KNOWN, part).model_copy(update=changes)}


@pytest.mark.parametrize(
    ("changes", "name", "verdict", "words"),
    [
        ({"dirty": True}, "evidence/code", "fail", "commit, and run again"),
        ({"dirty": None}, "evidence/code", "missing", "not known"),
        ({"validation": None}, "evidence/validation", "missing", "not validated"),
        (
            changed("validation", verdict="unfit", sentence="black images"),
            "evidence/validation",
            "fail",
            "black images",
        ),
        ({"splits": None}, "evidence/splits", "missing", "not known"),
        (changed("splits", n_measured_logs=0), "evidence/splits", "missing", "not known"),
        (changed("splits", shared=("l3", "l4")), "evidence/splits", "fail", "(2): l3, l4"),
        ({"manifests": None}, "evidence/manifests", "missing", "prepare, evaluate were not checked"),
        (changed("manifests", stages=("evaluate",)), "evidence/manifests", "missing", "prepare were not checked"),
        (changed("manifests", broken={"prepare": "a.tar is gone"}), "evidence/manifests", "fail", "prepare: a.tar"),
        ({"performance": None}, "budget/peak_memory_mib", "missing", "was not measured"),
        (changed("performance", peak_memory_mib=1001.0), "budget/peak_memory_mib", "fail", "at most 1000 (2 cores)"),
        (changed("performance", model_sha256="c" * 64), "budget/peak_memory_mib", "fail", "another model"),
        (changed("performance", protocol="own16"), "budget/peak_memory_mib", "fail", "another protocol"),
        ({"data": None}, "report/data", "missing", "not known"),
        (changed("data", sources=("fleet", "synthetic")), "report/data", "fail", "the data are of fleet, synthetic"),
        (changed("data", clips_sha256="0" * 64), "report/data", "fail", "not those of the prepared data"),
    ],
)
def test_what_was_not_established_or_is_not_well_is_refused(changes, name, verdict, words):
    decision = decide(inputs(MEASURED, asked=limits(allow_dirty=False), **changes))
    assert decision.verdict == "refuse"
    assert stopped(decision)[name] == verdict and words in rule(decision, name).sentence


def test_uncommitted_code_may_be_allowed():
    decision = decide(inputs(MEASURED, dirty=True))
    assert decision.verdict == "promote" and "the limits allow it" in rule(decision, "evidence/code").sentence


def test_a_speed_that_the_model_does_not_have_is_not_within_its_budget():
    asked = limits(budgets=[{"measure": "seconds_per_frame", "max": 9.0}])
    assert stopped(decide(inputs(MEASURED, asked=asked))) == {"budget/seconds_per_frame": "missing"}


def test_a_report_of_another_model_is_refused():
    assert stopped(decide(inputs(report(sha256="c" * 64, synthetic=GOOD)))) == {"report/model": "fail"}


def test_the_report_must_be_under_the_protocol_of_the_limits():
    decision = decide(inputs(MEASURED, asked=limits(protocol="own16")))
    assert rule(decision, "report/protocol").sentence.endswith("under the protocol tiny, and must be under own16")


def test_a_preset_under_a_known_name_with_other_rules_is_refused():
    raw = MEASURED.model_dump(mode="json")
    raw["protocol"]["preset"] = PRESETS["own16"].model_copy(update={"name": "tiny"}).model_dump(mode="json")
    raw["protocol_fingerprint"] = fingerprint(raw["protocol"])
    decision = decide(inputs(Report.model_validate(raw)))
    assert stopped(decision) == {"report/protocol": "fail"}
    assert "not the preset tiny of this code" in rule(decision, "report/protocol").sentence


def test_a_video_of_a_clip_that_the_report_does_not_list_is_refused():
    raw = report(video_group(metrics=(PSNR,)), synthetic=GOOD).model_dump(mode="json")
    raw["generation"][0]["methods"][0]["metrics"][0]["per_clip"][0]["sample_id"] = "synthetic-c9.front.000"
    decision = decide(inputs(Report.model_validate(raw)))
    assert stopped(decision) == {"report/data": "fail"}
    assert rule(decision, "report/data").sentence.endswith("(1): synthetic-c9.front.000")


@pytest.mark.parametrize("kind", ["surrogate", "synthetic"])
def test_weights_that_are_not_canonical_are_refused(kind):
    other = I3D.model_copy(update={"kind": kind})
    decision = decide(inputs(report(extractors=(other,), synthetic=GOOD)))
    assert stopped(decision) == {"report/weights": "fail"}
    assert f"i3d-k400 is {kind}" in rule(decision, "report/weights").sentence


def test_numbers_of_weights_that_nobody_names_are_refused():
    ours = report(video_group(), extractors=(), synthetic=GOOD)
    assert stopped(decide(inputs(ours))) == {"report/weights": "missing"}
    assert decide(inputs(report(extractors=(), synthetic=GOOD))).verdict == "promote"


def test_numbers_of_a_champion_that_does_not_serve_are_refused():
    theirs = report(sha256=CHAMPION, synthetic=GOOD)
    decision = decide(inputs(MEASURED, theirs, champion_sha256=NO_CHAMPION))
    assert stopped(decision)["champion/report"] == "fail"


@pytest.mark.parametrize(
    ("changes", "name", "verdict", "words"),
    [
        ({"champion_report": None}, "champion/report", "missing", "missing, or of another schema version"),
        ({"champion_report": report(sha256="c" * 64, synthetic=GOOD)}, "champion/report", "fail", "another model"),
        ({"comparison": None}, "champion/comparable", "missing", "not compared clip by clip"),
        (
            {"champion_report": report(sha256=CHAMPION, data="e" * 64, synthetic=GOOD)},
            *("champion/comparable", "fail", "other data"),
        ),
        (
            {"champion_report": report(sha256=CHAMPION, light=("dusk",), synthetic=GOOD)},
            *("champion/comparable", "fail", "other data"),
        ),
        (
            {"champion_report": report(sha256=CHAMPION, extractors=(), synthetic=GOOD)},
            *("champion/comparable", "fail", "another protocol (protocol.extractors: "),
        ),
        (
            {"champion_report": report(sha256=CHAMPION, synthetic=GOOD | {"image/psnr": [9.0] * 4})},
            *("champion/comparable", "fail", "the comparison is of other reports"),
        ),
    ],
)
def test_a_champion_measured_otherwise_is_not_compared_but_refused(changes, name, verdict, words):
    given = inputs(MEASURED, report(sha256=CHAMPION, synthetic=GOOD)).model_copy(update=changes)
    decision = decide(given)
    assert stopped(decision)[name] == verdict and words in rule(decision, name).sentence
    margin = rule(decision, "champion/synthetic/image/psnr")
    assert margin.verdict == "missing" and margin.sentence.startswith("not compared: ")
