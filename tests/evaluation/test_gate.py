"""The gate by table, then by properties over arbitrary reports."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.config import GateLimits
from evaluation.decision import GateContext
from evaluation.gate import decide
from tests.evaluation.videos import video_group

A, B, C = "a" * 64, "b" * 64, "c" * 64
LIMITS = GateLimits.model_validate(
    {
        "absolute": [
            {"source": "synthetic", "metric": "image/psnr", "min": 18.0},
            {"metric": "depth/rmse", "max": 5.0},
        ],
        "over_baseline": [{"metric": "image/psnr", "margin": 1.0}],
        "against_champion": [{"metric": "image/psnr", "max_drop": 0.5}, {"metric": "depth/rmse", "max_drop": 0.25}],
    }
)
GOOD = {"image/psnr": [20.0, 22.0, 21.0], "depth/rmse": [3.0, 2.0, 4.0]}
CANDIDATE = GateContext(candidate_sha256=A)
AGAINST_B = GateContext(candidate_sha256=A, champion_sha256=B)


def verdicts(decision):
    return {rule.id: rule.verdict for rule in decision.rules}


def stopped(decision):
    return {rule.id: rule.verdict for rule in decision.rules if rule.verdict != "pass"}


def test_the_first_good_model_is_promoted_because_every_rule_passes(make_report):
    decision = decide(make_report(synthetic=GOOD), None, LIMITS, CANDIDATE)
    assert decision.verdict == "promote"
    assert set(verdicts(decision)) == {
        "code/clean",
        "report/model",
        "coverage/synthetic",
        "absolute/synthetic/image/psnr/min",
        "absolute/synthetic/depth/rmse/max",
        "baseline/synthetic/image/psnr/nearest_context",
        "champion/comparable",
        "champion/synthetic/image/psnr",
        "champion/synthetic/depth/rmse",
    }
    assert decision.summary == "promoted: all 9 rules pass"


def test_rules_state_limit_observed_and_unit(make_report):
    decision = decide(make_report(synthetic=GOOD), None, LIMITS, CANDIDATE)
    rules = {rule.id: rule for rule in decision.rules}
    rule = rules["absolute/synthetic/image/psnr/min"]
    assert (rule.limit, rule.observed, rule.unit) == (18.0, 21.0, "dB")
    assert rule.sentence == "image/psnr on synthetic is 21.00 dB, and must be at least 18.00 dB"
    rule = rules["baseline/synthetic/image/psnr/nearest_context"]
    assert (rule.limit, rule.observed) == (1.0, 2.0)
    assert rules["champion/synthetic/image/psnr"].sentence == "no champion yet"


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"image/psnr": [17.9]}, {"absolute/synthetic/image/psnr/min": "fail"}),
        ({"image/psnr": [18.0]}, {}),
        ({"depth/rmse": [5.1]}, {"absolute/synthetic/depth/rmse/max": "fail"}),
        ({"depth/rmse": [None, 1.0]}, {"absolute/synthetic/depth/rmse/max": "missing"}),
        (
            {"image/psnr": [None, 30.0]},
            {
                "absolute/synthetic/image/psnr/min": "missing",
                "baseline/synthetic/image/psnr/nearest_context": "missing",
            },
        ),
    ],
)
def test_what_is_below_a_limit_or_nan_is_refused(make_report, metrics, expected):
    decision = decide(make_report(synthetic=GOOD | metrics), None, LIMITS, CANDIDATE)
    assert stopped(decision) == expected
    assert decision.verdict == ("refuse" if expected else "promote")


def test_a_metric_that_was_not_measured_is_missing(make_report):
    decision = decide(make_report(synthetic={"image/psnr": [20.0]}), None, LIMITS, CANDIDATE)
    assert stopped(decision) == {"absolute/synthetic/depth/rmse/max": "missing"}


def test_a_nan_is_explained_in_the_sentence(make_report):
    decision = decide(make_report(synthetic=GOOD | {"depth/rmse": [None]}), None, LIMITS, CANDIDATE)
    assert "NaN in 1 of 6 images" in decision.rules[4].sentence


def _edited(report, metric_id, **changes):
    """The report with the nearest-context baseline of a metric changed, or taken out."""
    raw = report.model_dump(mode="json")
    for metric in raw["groups"][0]["metrics"]:
        if metric["id"] == metric_id:
            metric["baselines"] = (
                {"nearest_context": metric["baselines"]["nearest_context"] | changes} if changes else {}
            )
    return type(report).model_validate(raw)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"difference": 0.9, "value": 20.1}, "fail"),
        ({"difference": 1.0, "value": 20.0, "difference_ci95": {"low": 0.1, "high": 2.0}}, "pass"),
        ({"difference_ci95": {"low": -0.1, "high": 4.0}}, "fail"),
        ({"difference_ci95": {"low": 0.0, "high": 4.0}}, "fail"),
        ({"difference_ci95": None}, "pass"),
        ({}, "missing"),
    ],
)
def test_the_margin_over_the_baseline_must_be_met_and_surely_above_zero(make_report, changes, verdict):
    report = _edited(make_report(synthetic=GOOD), "image/psnr", **changes)
    decision = decide(report, None, LIMITS, CANDIDATE)
    assert verdicts(decision)["baseline/synthetic/image/psnr/nearest_context"] == verdict


def test_for_an_error_less_than_the_baseline_is_better(make_report):
    limits = LIMITS.model_copy(update={"over_baseline": LIMITS.over_baseline})
    raw = limits.model_dump()
    raw["over_baseline"] = [{"metric": "depth/rmse", "margin": 1.5}]
    decision = decide(make_report(synthetic=GOOD), None, GateLimits.model_validate(raw), CANDIDATE)
    rule = next(rule for rule in decision.rules if rule.id.startswith("baseline/"))
    assert (rule.verdict, rule.observed) == ("pass", 2.0)


def test_every_source_must_have_been_measured_on_held_out_logs(make_report):
    report = make_report(same_log=("dgp_street",), synthetic=GOOD, dgp_street=GOOD)
    decision = decide(report, None, LIMITS, CANDIDATE)
    assert decision.verdict == "refuse"
    assert stopped(decision) == {
        "coverage/dgp_street": "not_applicable",
        "absolute/dgp_street/depth/rmse/max": "not_applicable",
        "baseline/dgp_street/image/psnr/nearest_context": "not_applicable",
    }


def test_a_source_of_the_data_without_any_measurement_is_missing(make_report):
    raw = make_report(synthetic=GOOD, fleet=GOOD).model_dump(mode="json")
    raw["groups"] = [group for group in raw["groups"] if group["source"] == "synthetic"]
    decision = decide(type(make_report()).model_validate(raw), None, LIMITS, CANDIDATE)
    assert verdicts(decision)["coverage/fleet"] == "missing"
    assert decision.verdict == "refuse"


@pytest.mark.parametrize("with_videos", [True, False])
def test_a_source_whose_clips_could_not_be_reconstructed_is_not_applicable_for_the_reports_reason(
    make_report, with_videos
):
    raw = make_report(synthetic=GOOD, fleet=GOOD).model_dump(mode="json")
    raw["groups"] = [group for group in raw["groups"] if group["source"] == "synthetic"]
    entry = {"what": "1 clip of fleet", "reason": "no camera poses", "stage": "reconstruct", "source": "fleet"}
    raw["not_applicable"] = [entry, entry | {"stage": "rollout", "reason": "max_samples is 2"}]
    raw["generation"] = [video_group("fleet").model_dump(mode="json")] if with_videos else []
    decision = decide(type(make_report()).model_validate(raw), None, LIMITS, CANDIDATE)
    rule = next(rule for rule in decision.rules if rule.id == "coverage/fleet")
    assert (decision.verdict, rule.verdict) == ("refuse", "not_applicable")
    said = "no reconstruction of a test clip of fleet was measured: no camera poses"
    assert rule.sentence == said + with_videos * "; 8 videos generated from its test clips were measured"


def test_the_source_a_limit_names_must_be_there(make_report):
    decision = decide(make_report(fleet=GOOD), None, LIMITS, CANDIDATE)
    assert stopped(decision) == {"absolute/synthetic/image/psnr/min": "missing"}


def test_the_wrong_split_does_not_count(make_report):
    decision = decide(make_report(split="val", synthetic=GOOD), None, LIMITS, CANDIDATE)
    assert verdicts(decision)["coverage/synthetic"] == "missing"


@pytest.mark.parametrize("report_of", [None, "empty"])
def test_no_report_and_an_empty_report_are_refused(make_report, report_of):
    report = None if report_of is None else make_report()
    assert decide(report, None, LIMITS, CANDIDATE).verdict == "refuse"


def test_a_report_of_another_model_is_refused(make_report):
    decision = decide(make_report(sha256=C, synthetic=GOOD), None, LIMITS, CANDIDATE)
    assert stopped(decision) == {"report/model": "fail"}


def test_uncommitted_code_is_refused_when_the_limits_say_so(make_report):
    dirty = GateContext(candidate_sha256=A, dirty=True)
    strict = LIMITS.model_copy(update={"allow_dirty": False})
    assert decide(make_report(synthetic=GOOD), None, LIMITS, dirty).verdict == "promote"
    assert stopped(decide(make_report(synthetic=GOOD), None, strict, dirty)) == {"code/clean": "fail"}
    assert decide(make_report(synthetic=GOOD), None, strict, CANDIDATE).verdict == "promote"


@pytest.mark.parametrize(
    ("champion", "expected"),
    [
        ({"image/psnr": [21.5]}, {}),
        ({"image/psnr": [21.6]}, {"champion/synthetic/image/psnr": "fail"}),
        ({"depth/rmse": [2.75]}, {}),
        ({"depth/rmse": [2.7]}, {"champion/synthetic/depth/rmse": "fail"}),
        ({"image/psnr": [None]}, {"champion/synthetic/image/psnr": "missing"}),
    ],
)
def test_no_more_may_be_lost_against_the_champion_than_the_limits_say(make_report, champion, expected):
    theirs = make_report(sha256=B, synthetic=GOOD | champion)
    assert stopped(decide(make_report(synthetic=GOOD), theirs, LIMITS, AGAINST_B)) == expected


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"data": "e" * 64}, "fail", "other data"),
        ({"stride": 4}, "fail", "another protocol"),
        ({"sha256": C}, "fail", "measured another model"),
        (None, "missing", "missing, or of another schema version"),
    ],
)
def test_a_champion_measured_otherwise_is_not_compared_but_refused(make_report, changes, verdict, words):
    theirs = None if changes is None else make_report(**{"sha256": B, "synthetic": GOOD} | changes)
    decision = decide(make_report(synthetic=GOOD), theirs, LIMITS, AGAINST_B)
    assert decision.verdict == "refuse"
    assert stopped(decision) == {
        "champion/comparable": verdict,
        "champion/synthetic/image/psnr": "missing",
        "champion/synthetic/depth/rmse": "missing",
    }
    assert all(words in rule.sentence for rule in decision.rules if rule.id.startswith("champion/"))


def test_a_report_without_a_champion_is_not_compared_with(make_report):
    better = make_report(sha256=B, synthetic={"image/psnr": [90.0], "depth/rmse": [0.0]})
    assert decide(make_report(synthetic=GOOD), better, LIMITS, CANDIDATE).verdict == "promote"


def test_the_champion_itself_is_neither_promoted_nor_refused(make_report):
    decision = decide(make_report(synthetic=GOOD), None, LIMITS, GateContext(candidate_sha256=A, champion_sha256=A))
    assert (decision.verdict, decision.rules) == ("already_champion", ())


def test_the_decision_records_what_it_followed_from(make_report):
    ours, theirs = make_report(synthetic=GOOD), make_report(sha256=B, synthetic=GOOD)
    decision = decide(ours, theirs, LIMITS, AGAINST_B)
    assert decision.limits == LIMITS and decision.context == AGAINST_B
    assert len({decision.report_sha256, decision.champion_report_sha256}) == 2
    assert decide(ours, theirs, LIMITS, AGAINST_B) == decision


values = st.lists(st.none() | st.floats(-1e300, 1e300) | st.floats(0, 60), min_size=1, max_size=3)
metrics = st.dictionaries(st.sampled_from(["image/psnr", "depth/rmse", "image/ssim"]), values, max_size=3)
reports = st.none() | st.fixed_dictionaries(
    {
        "sha256": st.sampled_from([A, B, C]),
        "data": st.sampled_from(["d" * 64, "e" * 64]),
        "stride": st.sampled_from([5, 4]),
    },
    optional={"synthetic": metrics, "dgp_street": metrics},
)
contexts = st.builds(
    GateContext,
    candidate_sha256=st.sampled_from([A, B]),
    champion_sha256=st.none() | st.sampled_from([A, B, C]),
    dirty=st.booleans(),
)


def _built(make_report, fields, same_log=()):
    return None if fields is None else make_report(same_log=same_log, **fields)


@given(ours=reports, theirs=reports, context=contexts, allow_dirty=st.booleans(), same_log=st.booleans())
def test_the_gate_always_answers_and_promotes_only_when_every_rule_passes(
    make_report, ours, theirs, context, allow_dirty, same_log
):
    limits = LIMITS.model_copy(update={"allow_dirty": allow_dirty})
    report = _built(make_report, ours, ("dgp_street",) if same_log else ())
    decision = decide(report, _built(make_report, theirs), limits, context)
    passed = bool(decision.rules) and all(rule.verdict == "pass" for rule in decision.rules)
    assert (decision.verdict == "promote") == passed
    assert len({rule.id for rule in decision.rules}) == len(decision.rules)
    assert all(not isinstance(r.observed, float) or math.isfinite(r.observed) for r in decision.rules)
    assert type(decision).model_validate_json(decision.model_dump_json()) == decision


@given(
    psnr=st.floats(10, 30),
    rmse=st.floats(0, 8),
    champion=st.none() | st.tuples(st.floats(10, 30), st.floats(0, 8)),
    better=st.tuples(st.floats(0, 5), st.floats(0, 1)),
)
def test_a_better_model_is_never_refused_where_a_worse_one_is_promoted(make_report, psnr, rmse, champion, better):
    context = CANDIDATE if champion is None else AGAINST_B
    theirs = champion and make_report(sha256=B, synthetic={"image/psnr": [champion[0]], "depth/rmse": [champion[1]]})
    worse = make_report(synthetic={"image/psnr": [psnr], "depth/rmse": [rmse]})
    improved = make_report(synthetic={"image/psnr": [psnr + better[0]], "depth/rmse": [rmse * better[1]]})
    if decide(worse, theirs, LIMITS, context).verdict == "promote":
        assert decide(improved, theirs, LIMITS, context).verdict == "promote"


@given(psnr=st.floats(10, 30), bound=st.floats(10, 30), stricter=st.floats(0, 10))
def test_a_stricter_limit_never_lets_more_through(make_report, psnr, bound, stricter):
    report = make_report(synthetic=GOOD | {"image/psnr": [psnr]})

    def verdict(minimum):
        raw = LIMITS.model_dump() | {"absolute": [{"metric": "image/psnr", "min": minimum}]}
        return decide(report, None, GateLimits.model_validate(raw), CANDIDATE).verdict

    assert not (verdict(bound) == "refuse" and verdict(bound + stricter) == "promote")


@given(data=st.data())
def test_taking_evidence_away_never_turns_a_refusal_into_a_promotion(make_report, data):
    fields = data.draw(reports.filter(lambda fields: fields is not None))
    context = data.draw(contexts)
    before = decide(_built(make_report, fields), None, LIMITS, context).verdict
    sources = [key for key in ("synthetic", "dgp_street") if fields.get(key)]
    if not sources or before != "refuse":
        return
    source = data.draw(st.sampled_from(sources))
    metric = data.draw(st.sampled_from(sorted(fields[source])))
    less = fields | {source: {key: value for key, value in fields[source].items() if key != metric}}
    nan = fields | {source: fields[source] | {metric: [None]}}
    for poorer in (less, nan):
        assert decide(_built(make_report, poorer), None, LIMITS, context).verdict == "refuse"
