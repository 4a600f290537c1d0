"""The gate as a whole: what it asks, that it always answers, and that nothing missing ever lets a model through."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.base import fingerprint
from evaluation.decision import Decision, GateInputs
from evaluation.evidence import NO_CHAMPION
from evaluation.gate import decide
from evaluation.report import Report
from tests.evaluation.gating import (
    CANDIDATE,
    CHAMPION,
    GOOD,
    I3D,
    evidence,
    inputs,
    limits,
    report,
    rule,
    stopped,
    with_distance,
)
from tests.evaluation.videos import KVD_TOK, PSNR, video_group

KVD = "video/kvd@i3d-k400"


def test_the_first_good_model_is_promoted_because_every_rule_passes():
    decision = decide(inputs(report(synthetic=GOOD)))
    assert decision.verdict == "promote"
    assert [rule.id for rule in decision.rules] == [
        "evidence/code",
        "evidence/validation",
        "evidence/splits",
        "evidence/manifests",
        "budget/peak_memory_mib",
        "report/model",
        "report/protocol",
        "report/data",
        "report/weights",
        "champion/report",
        "coverage/synthetic/reconstruction",
        "absolute/synthetic/image/psnr/min",
        "absolute/synthetic/depth/rmse/max",
        "baseline/synthetic/image/psnr/nearest_context",
        "champion/synthetic/image/psnr",
        "champion/synthetic/depth/rmse",
    ]
    assert decision.summary == "promoted: all 16 rules pass"


def test_the_champion_itself_is_neither_promoted_nor_refused():
    decision = decide(inputs(None, champion_sha256=CANDIDATE))
    assert (decision.verdict, decision.rules) == ("already_champion", ())


@pytest.mark.parametrize("measured", [None, report()])
def test_no_report_and_an_empty_report_are_refused(measured):
    assert decide(inputs(measured)).verdict == "refuse"


def test_the_decision_records_what_it_followed_from():
    ours, theirs = report(synthetic=GOOD), report(sha256=CHAMPION, synthetic=GOOD)
    given_ = inputs(ours, theirs)
    decision = decide(given_)
    assert (decision.evidence, decision.limits) == (given_.evidence, given_.limits)
    assert len({decision.report_sha256, decision.champion_report_sha256, decision.comparison_sha256}) == 3
    assert decide(given_) == decision


def test_a_promotion_needs_every_rule_to_pass_and_a_refusal_one_that_does_not():
    raw = decide(inputs(report(synthetic=GOOD))).model_dump()
    with pytest.raises(ValueError, match="every rule passes"):
        Decision.model_validate(raw | {"verdict": "refuse"})
    raw["rules"][0]["verdict"] = "missing"
    with pytest.raises(ValueError, match="not every rule passes"):
        Decision.model_validate(raw)


def test_a_regression_by_night_alone_is_refused_though_the_mean_is_better():
    light, depth = ("day", "night"), {"depth/rmse": [3.0] * 8}
    theirs = report(sha256=CHAMPION, light=light, synthetic=depth | {"image/psnr": [24.0, 22.0] * 4})
    ours = report(light=light, synthetic=depth | {"image/psnr": [28.0, 20.0] * 4})
    asked = [{"metric": "image/psnr", "slice": "light", "max_drop": 0.5}]
    assert decide(inputs(ours, theirs)).verdict == "promote"
    decision = decide(inputs(ours, theirs, limits(slices=asked)))
    assert stopped(decision) == {"slice/synthetic/image/psnr/light=night/champion": "fail"}
    found = rule(decision, "slice/synthetic/image/psnr/light=night/champion")
    assert (found.observed, found.limit, found.unit) == (-2.0, -0.5, "dB")
    assert rule(decision, "slice/synthetic/image/psnr/light=day/champion").observed == 4.0


def test_a_tie_cannot_be_told_and_is_let_through_unless_it_must_be_sure():
    ours = report(synthetic=GOOD | {"image/psnr": [21.0, 19.0, 22.0, 22.0]})
    theirs = report(sha256=CHAMPION, synthetic=GOOD | {"image/psnr": [20.0, 20.0, 20.0, 24.0]})
    decision = decide(inputs(ours, theirs))
    assert decision.verdict == "promote"
    assert "cannot tell" in rule(decision, "champion/synthetic/image/psnr").sentence
    sure = [{"metric": "image/psnr", "max_drop": 0.5, "judge": "interval"}]
    decision = decide(inputs(ours, theirs, limits(against_champion=sure)))
    assert stopped(decision) == {"champion/synthetic/image/psnr": "fail"}


def test_a_champion_measured_on_other_data_is_refused():
    ours, theirs = report(synthetic=GOOD), report(sha256=CHAMPION, data="e" * 64, synthetic=GOOD)
    given_ = inputs(ours, report(sha256=CHAMPION, synthetic=GOOD)).model_copy(update={"champion_report": theirs})
    decision = decide(given_)
    assert stopped(decision) == {
        "champion/comparable": "fail",
        "champion/synthetic/image/psnr": "missing",
        "champion/synthetic/depth/rmse": "missing",
    }
    assert "other data" in rule(decision, "champion/comparable").sentence


def test_whatever_does_not_hold_together_is_refused_without_an_error():
    broken = GateInputs.model_construct(report="none", limits=None, evidence=3)
    decision = decide(broken)
    assert (decision.verdict, decision.evidence, [r.id for r in decision.rules]) == ("refuse", None, ["inputs"])


# --- properties over arbitrary inputs

values = st.lists(st.none() | st.floats(-1e300, 1e300) | st.floats(0, 60), min_size=1, max_size=4)
metrics = st.dictionaries(st.sampled_from(["image/psnr", "depth/rmse", "image/ssim"]), values, max_size=3)
near_good = st.fixed_dictionaries(
    {"image/psnr": st.lists(st.floats(17, 24), min_size=4, max_size=4), "depth/rmse": st.just(GOOD["depth/rmse"])}
)
videos = st.none() | st.builds(
    lambda dmd, half: video_group(values={"repeat_last_frame": 100.0, "dmd": dmd}, half=half, metrics=(KVD_TOK, PSNR)),
    st.floats(20, 110),
    st.floats(0, 40),
)
SLICES = [{"metric": "image/psnr", "slice": "light", "max_drop": 0.5, "min_clips": 2}]
BEATS = [{"metric": KVD_TOK, "better_than": "repeat_last_frame"}]


@st.composite
def gate_inputs(draw: st.DrawFn, measured: st.SearchStrategy[Any] = near_good) -> GateInputs:
    """Inputs of a candidate, with a champion or not, and with all kinds of things wrong or not."""
    light = draw(st.sampled_from([("day",), ("day", "night")]))
    group = draw(videos)
    groups = () if group is None else (group,)
    ours = report(*groups, light=light, synthetic=draw(measured))
    theirs = report(*groups, sha256=CHAMPION, light=light, synthetic=draw(measured)) if draw(st.booleans()) else None
    asked = limits(
        allow_dirty=draw(st.booleans()),
        slices=draw(st.sampled_from([[], SLICES])),
        generation=draw(st.sampled_from([[], BEATS])),
    )
    changes: dict[str, Any] = {"dirty": draw(st.booleans())}
    if draw(st.booleans()):
        changes["splits"] = evidence(ours).splits.model_copy(update={"shared": ("l0",)})
    return inputs(ours, theirs, asked, **changes)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(given_=gate_inputs(metrics))
def test_the_gate_always_answers_and_promotes_only_when_every_rule_passes(given_):
    decision = decide(given_)
    assert (decision.verdict == "promote") == (bool(decision.rules) and not stopped(decision))
    assert all(not isinstance(r.observed, float) or math.isfinite(r.observed) for r in decision.rules)
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert GateInputs.model_validate_json(given_.model_dump_json()) == given_


PARTS = ("champion_sha256", "dirty", "data", "validation", "splits", "manifests", "performance")
DAY_NIGHT = ("day", "night")


def _poorer(given_: GateInputs) -> dict[str, GateInputs]:
    """The inputs without each piece of evidence in turn, or with something that is not what it says it is."""
    known, compared = given_.evidence, given_.comparison
    found = {f"no {part}": _with_evidence(given_, **{part: None}) for part in PARTS}
    if known.manifests is not None:
        found["no stage"] = _with_evidence(
            given_, manifests=known.manifests.model_copy(update={"stages": ("prepare",)})
        )
    for name in ("report", "champion_report", "comparison"):
        found[f"no {name}"] = given_.model_copy(update={name: None})
    if compared is not None:
        found["no differences"] = _with(given_, comparison=compared.model_copy(update={"differences": ()}))
        unsure = [
            d.model_dump() | {"ci95": None, "no_interval": "?", "verdict": "cannot tell"} for d in compared.differences
        ]
        unsure = [type(compared.differences[0]).model_construct(**raw) for raw in unsure]
        found["nothing sure"] = _with(given_, comparison=compared.model_copy(update={"differences": tuple(unsure)}))
    for name in ("report", "champion_report"):
        measured = getattr(given_, name)
        for damage in DAMAGE if isinstance(measured, Report) else ():
            found[f"{damage} of {name}"] = _with(given_, **{name: _damaged(measured, damage)})
    return found


def _with(given_: GateInputs, **changes: Any) -> GateInputs:
    return given_.model_copy(update=changes)


def _with_evidence(given_: GateInputs, **changes: Any) -> GateInputs:
    return _with(given_, evidence=given_.evidence.model_copy(update=changes))


def _damaged(measured: Report, damage: str) -> Report:
    raw = measured.model_dump(mode="json")
    DAMAGE[damage](raw)
    return _unchecked(raw)


def _unchecked(raw: dict[str, Any]) -> Report:
    """As a forger would hand it in: parsed where it parses, else as it is."""
    try:
        return Report.model_validate(raw)
    except ValueError:
        return Report.model_construct(**raw)


def _nan(raw: dict[str, Any]) -> None:
    raw["groups"][0]["metrics"][0]["value"] = math.nan


def _null(raw: dict[str, Any]) -> None:
    metric = raw["groups"][0]["metrics"][0]
    metric["value"], metric["problem"], metric["per_clip"][0]["value"] = None, "NaN in 1 image", None
    metric |= {"ci95": None, "no_interval": "no value", "baselines": {}}


def _other_data(raw: dict[str, Any]) -> None:
    raw["data"]["sha256"] = "e" * 64


def _other_clips(raw: dict[str, Any]) -> None:
    for clip in raw["clips"]:
        clip["sha256"] = clip["sha256"][::-1]


def _twice(raw: dict[str, Any], name: str, log: str) -> None:
    """The best clip once more, with everything that follows from it recomputed."""
    metric = raw["groups"][0]["metrics"][0]
    best = max(metric["per_clip"], key=lambda clip: clip["value"])
    metric["per_clip"].append(best | {"clip_id": name or best["clip_id"], "log_id": log or best["log_id"]})
    known = [clip["value"] for clip in metric["per_clip"]]
    metric["value"] = sum(known) / len(known)
    metric["n_clips"] = metric["n_images"] = raw["groups"][0]["n_clips"] = len(known)
    metric["n_logs"] = raw["groups"][0]["n_logs"] = len({clip["log_id"] for clip in metric["per_clip"]})
    nearest = metric["baselines"]["nearest_context"]
    nearest["value"] = metric["value"] - nearest["difference"]


def _forgotten(raw: dict[str, Any]) -> None:
    """The worst clip left out of a metric, likewise."""
    metric = raw["groups"][0]["metrics"][0]
    metric["per_clip"].remove(min(metric["per_clip"], key=lambda clip: clip["value"]))
    known = [clip["value"] for clip in metric["per_clip"]]
    metric["value"] = sum(known) / len(known)
    metric["n_clips"] = metric["n_images"] = metric["n_logs"] = len(known)
    metric["baselines"]["nearest_context"]["value"] = metric["value"] - 2.0


def _no_baseline(raw: dict[str, Any]) -> None:
    raw["groups"][0]["metrics"][0]["baselines"] = {}


def _no_interval(raw: dict[str, Any]) -> None:
    raw["groups"][0]["metrics"][0]["baselines"]["nearest_context"]["difference_ci95"] = None


def _no_metric(raw: dict[str, Any]) -> None:
    del raw["groups"][0]["metrics"][0]
    raw["groups"][0]["slices"] = []


def _no_extractors(raw: dict[str, Any]) -> None:
    raw["protocol"]["extractors"] = []
    raw["protocol_fingerprint"] = fingerprint(raw["protocol"])


DAMAGE = {
    "no extractors": _no_extractors,
    "nan": _nan,
    "null": _null,
    "other data": _other_data,
    "other clips": _other_clips,
    "clip twice": lambda raw: _twice(raw, "", ""),
    "clip twice under another name": lambda raw: _twice(raw, "synthetic-c7", "l7"),
    "clip twice as a new one": lambda raw: _twice(raw, "synthetic-c99", "l99"),
    "worst clip forgotten": _forgotten,
    "no baseline": _no_baseline,
    "no interval": _no_interval,
    "no metric": _no_metric,
    "no slices": lambda raw: raw["groups"][0].update(slices=[]),
    "no group": lambda raw: raw.update(groups=[]),
    "no videos": lambda raw: raw.update(generation=[]),
    "no clips": lambda raw: raw.update(clips=[]),
    "no sources": lambda raw: raw["data"].update(sources=[]),
    "lights out": lambda raw: [clip["slices"].clear() for clip in raw["clips"]],
}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(given_=gate_inputs(), data=st.data())
def test_taking_away_or_swapping_never_turns_a_refusal_into_a_promotion(given_, data):
    poorer = _poorer(given_)
    name = data.draw(st.sampled_from(sorted(poorer)))
    if decide(given_).verdict == "refuse":
        assert decide(poorer[name]).verdict == "refuse"


def _refused(cause: str) -> GateInputs:
    """Inputs that are refused for one cause alone."""
    group, depth = video_group(metrics=(KVD_TOK, PSNR)), {"depth/rmse": [3.0] * 8}
    psnr = {"too low": [17.0] * 8, "night": [28.0, 20.0] * 4, "worse than is tolerated": [21.2] * 8}.get(
        cause, [22.0] * 8
    )
    if cause == "beaten by repetition":
        group = video_group(values={"repeat_last_frame": 100.0, "dmd": 99.0}, metrics=(KVD_TOK, PSNR))
    surrogate = (I3D.model_copy(update={"kind": "surrogate"}),) if cause == "surrogate weights" else (I3D,)
    kinds: dict[str, Any] = {"light": DAY_NIGHT, "extractors": surrogate}
    ours = report(group, synthetic=depth | {"image/psnr": psnr}, **kinds)
    theirs = report(group, synthetic=depth | {"image/psnr": [22.0] * 8}, sha256=CHAMPION, **kinds)
    baseline = 2.5 if cause == "below the baseline" else 1.0
    asked = limits(
        allow_dirty=False,
        slices=SLICES,
        generation=BEATS,
        over_baseline=[{"metric": "image/psnr", "margin": baseline}],
        **({"protocol": "own16"} if cause == "another protocol" else {}),
    )
    given_ = inputs(ours, None if cause == "too low" else theirs, asked)
    known = given_.evidence
    assert known.splits is not None and known.manifests is not None and known.performance is not None
    changes: dict[str, Any] = {
        "dirty": {"dirty": True},
        "unfit": {"validation": known.validation and known.validation.model_copy(update={"verdict": "unfit"})},
        "shared logs": {"splits": known.splits.model_copy(update={"shared": ("l0",)})},
        "broken manifest": {"manifests": known.manifests.model_copy(update={"broken": {"prepare": "changed"}})},
        "over budget": {"performance": known.performance.model_copy(update={"peak_memory_mib": 2000.0})},
    }
    return _with_evidence(given_, **changes.get(cause, {}))


CAUSES = (
    *("too low", "night", "worse than is tolerated", "beaten by repetition", "surrogate weights", "below the baseline"),
    *("another protocol", "dirty", "unfit", "shared logs", "broken manifest", "over budget"),
)


def test_the_causes_below_are_all_that_is_wrong_with_their_inputs():
    assert decide(_refused("none")).verdict == "promote"
    assert set(stopped(decide(_refused("night")))) == {"slice/synthetic/image/psnr/light=night/champion"}


@pytest.mark.parametrize("cause", CAUSES)
def test_whatever_is_refused_stays_refused_whatever_is_taken_away_or_swapped(cause):
    given_ = _refused(cause)
    assert decide(given_).verdict == "refuse"
    assert [name for name, less in _poorer(given_).items() if decide(less).verdict != "refuse"] == []


@pytest.mark.parametrize("name", ["data", "clips", "sources", "protocol"])
def test_the_champions_report_made_to_look_like_another_is_refused(name):
    """Swapping the data or the protocol of either side is noticed."""
    given_ = _refused("none")
    raw = given_.champion_report.model_dump(mode="json")
    if name == "data":
        raw["data"]["sha256"] = "e" * 64
    elif name == "clips":
        _other_clips(raw)
    elif name == "sources":
        raw["data"]["sources"][0]["clips"] = {"test": 99}
    else:
        raw["protocol"]["metrics_version"] += 1
        raw["protocol_fingerprint"] = fingerprint(raw["protocol"])
    found = stopped(decide(_with(given_, champion_report=_unchecked(raw))))
    assert found["champion/comparable"] == "fail"


@pytest.mark.parametrize(
    "damage", sorted(set(DAMAGE) - {"no videos", "no slices", "lights out", "other data", "no extractors"})
)
def test_a_report_so_damaged_is_not_promoted(damage):
    measured = report(synthetic=GOOD)
    assert decide(_with(inputs(measured), report=_damaged(measured, damage))).verdict == "refuse"


@pytest.mark.parametrize("part", PARTS)
def test_without_a_part_of_the_evidence_nothing_is_promoted(part):
    given_ = inputs(report(synthetic=GOOD), asked=limits(allow_dirty=False))
    assert decide(given_).verdict == "promote"
    assert decide(_with_evidence(given_, **{part: None})).verdict == "refuse"


@settings(deadline=None, max_examples=40)
@given(psnr=st.floats(16, 26), champion=st.none() | st.floats(16, 26), gain=st.floats(0, 5))
def test_a_better_model_is_never_refused_where_a_worse_one_is_promoted(psnr, champion, gain):
    theirs = champion and report(sha256=CHAMPION, synthetic=GOOD | {"image/psnr": [champion] * 4})
    verdicts = [
        decide(inputs(report(synthetic=GOOD | {"image/psnr": [value] * 4}), theirs or None)).verdict
        for value in (psnr, psnr + gain)
    ]
    assert verdicts != ["promote", "refuse"]


@settings(deadline=None, max_examples=40)
@given(psnr=st.floats(10, 30), bound=st.floats(10, 30), stricter=st.floats(0, 10))
def test_a_stricter_limit_never_lets_more_through(psnr, bound, stricter):
    measured = report(synthetic=GOOD | {"image/psnr": [psnr] * 4})
    verdicts = [
        decide(inputs(measured, asked=limits(absolute=[{"metric": "image/psnr", "min": minimum}]))).verdict
        for minimum in (bound, bound + stricter)
    ]
    assert verdicts != ["refuse", "promote"]


def test_no_champion_is_something_to_be_known():
    measured = report(synthetic=GOOD)
    assert decide(inputs(measured, champion_sha256=NO_CHAMPION)).verdict == "promote"
    assert stopped(decide(inputs(measured, champion_sha256=None))) == {
        "champion/report": "missing",
        "champion/synthetic/image/psnr": "missing",
        "champion/synthetic/depth/rmse": "missing",
    }


@pytest.mark.parametrize(("champions", "verdict"), [(36.0, "pass"), (34.0, "fail")])
def test_no_more_may_be_lost_against_the_champions_videos_than_the_limits_say(champions, verdict):
    asked = limits(against_champion=[{"metric": KVD, "method": "dmd", "max_drop": 5.0}])
    ours = report(video_group(metrics=(KVD,)), synthetic=GOOD)
    theirs = report(video_group(values={"dmd": champions}, metrics=(KVD,)), sha256=CHAMPION, synthetic=GOOD)
    given_ = inputs(ours, theirs, asked)
    name = f"champion/synthetic/dmd/{KVD}"
    without = rule(decide(given_), name)
    assert (without.verdict, without.sentence) == ("missing", "not compared: the features were not given")
    assert given_.comparison is not None
    compared = with_distance(given_.comparison, KVD, (40.0, champions), half=10.0)
    assert rule(decide(given_.model_copy(update={"comparison": compared})), name).verdict == verdict
