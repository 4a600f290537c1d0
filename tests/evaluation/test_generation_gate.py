"""The gate's rules about generated videos, by table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.config import GateLimits
from evaluation.decision import GateContext
from evaluation.gate import decide
from evaluation.report import Report
from tests.evaluation.videos import GOOD, KVD_TOK, PSNR, video_group

A, B = "a" * 64, "b" * 64
CANDIDATE, AGAINST_B = GateContext(candidate_sha256=A), GateContext(candidate_sha256=A, champion_sha256=B)
RENDERS = {"image/psnr": [20.0, 22.0]}
KVD = "video/kvd@i3d-k400"


def limits(*generation, champion=()):
    """Limits that any render passes, and these on generated videos."""
    return GateLimits.model_validate(
        {
            "absolute": [{"metric": "image/psnr", "min": 0.0}],
            "over_baseline": [{"metric": "image/psnr", "margin": 0.0}],
            "against_champion": [{"metric": "image/psnr", "max_drop": 0.5}, *champion],
            "generation": generation,
        }
    )


BEATS = {"metric": KVD_TOK, "better_than": "repeat_last_frame", "margin": 10.0}


def with_videos(report, *groups, **parts):
    model = report.model.model_copy(update={"parts": {"tokenizer": "t" * 64} | parts})
    return Report.model_validate(report.model_copy(update={"generation": groups, "model": model}).model_dump())


@pytest.fixture
def report(make_report):
    return lambda *groups, **kwargs: with_videos(make_report(synthetic=RENDERS, **kwargs), *groups)


def stopped(decision):
    return {rule.id: rule.verdict for rule in decision.rules if rule.verdict != "pass"}


def test_a_student_that_surely_beats_the_repeated_frame_is_promoted(report):
    decision = decide(report(video_group()), None, limits(BEATS), CANDIDATE)
    assert decision.verdict == "promote"
    rules = {rule.id: rule for rule in decision.rules}
    assert "coverage/synthetic/generation" in rules
    rule = rules[f"generation/synthetic/dmd/{KVD_TOK}/repeat_last_frame"]
    assert (rule.limit, rule.observed) == (10.0, 60.0)
    assert "95 % interval from +55.000" in rule.sentence


@pytest.mark.parametrize(
    ("group", "verdict"),
    [
        ({"values": GOOD | {"dmd": 90.0}}, "pass"),
        ({"values": GOOD | {"dmd": 91.0}}, "fail"),
        ({"values": GOOD | {"dmd": 80.0}, "half": 20.0}, "fail"),
        ({"values": GOOD | {"dmd": 80.0}, "half": 19.9}, "pass"),
        ({"values": {"dmd": 40.0}}, "missing"),
        ({"values": {"repeat_last_frame": 100.0}}, "missing"),
    ],
)
def test_the_margin_must_be_met_and_its_interval_leave_out_zero(report, group, verdict):
    decision = decide(report(video_group(**group)), None, limits(BEATS), CANDIDATE)
    rule = next(r for r in decision.rules if r.id.startswith("generation/"))
    assert (rule.verdict, decision.verdict == "promote") == (verdict, verdict == "pass")


def test_without_an_interval_nothing_is_sure(report):
    raw = video_group().model_dump()
    raw["methods"][2]["metrics"][0]["against"]["repeat_last_frame"] |= {"ci95": None, "no_interval": "2 logs"}
    decision = decide(report(type(video_group()).model_validate(raw)), None, limits(BEATS), CANDIDATE)
    assert stopped(decision) == {f"generation/synthetic/dmd/{KVD_TOK}/repeat_last_frame": "missing"}


@pytest.mark.parametrize(
    ("bound", "verdict"), [({"max": 40.0}, "pass"), ({"max": 39.0}, "fail"), ({"min": 41.0}, "fail")]
)
def test_a_value_may_have_a_bound_of_its_own(report, bound, verdict):
    decision = decide(report(video_group()), None, limits({"metric": KVD_TOK} | bound), CANDIDATE)
    rule = next(r for r in decision.rules if r.id.startswith("generation/"))
    assert rule.verdict == verdict and rule.id.endswith(next(iter(bound)))


def test_a_source_without_generated_videos_is_not_applicable_and_refused(make_report):
    report = with_videos(make_report(synthetic=RENDERS, street=RENDERS), video_group())
    decision = decide(report, None, limits(BEATS), CANDIDATE)
    assert decision.verdict == "refuse"
    assert stopped(decision) == {
        "coverage/street/generation": "not_applicable",
        f"generation/street/dmd/{KVD_TOK}/repeat_last_frame": "not_applicable",
    }


def test_too_few_logs_for_a_distance_are_not_applicable_with_the_reason(report):
    group = video_group(metrics=(PSNR,), no_distances="1 log: no FVD claim")
    decision = decide(report(group), None, limits(BEATS), CANDIDATE)
    assert set(stopped(decision).values()) == {"not_applicable"} and len(stopped(decision)) == 2
    assert all("1 log: no FVD claim" in rule.sentence for rule in decision.rules if rule.verdict != "pass")


def test_videos_of_logs_that_training_saw_are_not_applicable(report):
    decision = decide(report(video_group(split="train", same_log=True)), None, limits(BEATS), CANDIDATE)
    rule = next(r for r in decision.rules if r.id == "coverage/synthetic/generation")
    assert rule.verdict == "not_applicable" and "same log" in rule.sentence


def test_a_limit_on_one_source_asks_no_metric_of_the_others(make_report):
    psnr_only = video_group("street", metrics=(PSNR,), no_distances="1 log")
    report = with_videos(make_report(synthetic=RENDERS, street=RENDERS), video_group(), psnr_only)
    assert decide(report, None, limits(BEATS | {"source": "synthetic"}), CANDIDATE).verdict == "promote"


def test_without_limits_on_videos_none_is_asked_for(report):
    assert decide(report(), None, limits(), CANDIDATE).verdict == "promote"


@pytest.mark.parametrize(("champions", "verdict"), [(36.0, "pass"), (34.0, "fail")])
def test_no_more_may_be_lost_against_the_champions_videos_than_the_limits_say(report, champions, verdict):
    rules = limits(champion=({"metric": KVD, "method": "dmd", "max_drop": 5.0},))
    ours = report(video_group(metrics=(KVD,)))
    theirs = report(video_group(values=GOOD | {"dmd": champions}, metrics=(KVD,)), sha256=B)
    decision = decide(ours, theirs, rules, AGAINST_B)
    assert {rule.id: rule.verdict for rule in decision.rules}[f"champion/synthetic/dmd/{KVD}"] == verdict


def test_a_distance_through_another_tokenizer_is_not_compared_with_the_champions(make_report):
    rules = limits(champion=({"metric": KVD_TOK, "method": "dmd", "max_drop": 5.0},))
    ours = with_videos(make_report(synthetic=RENDERS), video_group())
    theirs = with_videos(make_report(synthetic=RENDERS, sha256=B), video_group(), tokenizer="u" * 64)
    assert stopped(decide(ours, theirs, rules, AGAINST_B)) == {f"champion/synthetic/dmd/{KVD_TOK}": "not_applicable"}


@given(
    values=st.dictionaries(st.sampled_from(sorted(GOOD)), st.floats(-1e6, 1e6), max_size=3),
    half=st.floats(0, 1e6),
    no_group=st.booleans(),
    limit=st.sampled_from([BEATS, {"metric": KVD_TOK, "max": 50.0}, BEATS | {"better_than": "teacher_forcing_4step"}]),
)
def test_the_gate_always_answers_and_promotes_only_when_every_rule_passes(make_report, values, half, no_group, limit):
    groups = () if no_group else (video_group(values=values, half=half),)
    report = with_videos(make_report(synthetic=RENDERS), *groups)
    decision = decide(report, None, limits(limit), CANDIDATE)
    assert (decision.verdict == "promote") == all(rule.verdict == "pass" for rule in decision.rules)
    assert len({rule.id for rule in decision.rules}) == len(decision.rules)
    assert decision.verdict == "refuse" or "dmd" in values


def test_why_no_video_was_generated_is_the_reports_reason(report):
    entries = [
        {"what": "videos", "reason": f"{source} has one log", "stage": "rollout", "source": source}
        for source in ("synthetic", "street")
    ]
    raw = report().model_dump() | {"not_applicable": entries}
    rules = {rule.id: rule for rule in decide(Report.model_validate(raw), None, limits(BEATS), CANDIDATE).rules}
    rule = rules["coverage/synthetic/generation"]
    assert rule.verdict == "not_applicable"
    assert rule.sentence == "no video was generated from a test clip of synthetic: synthetic has one log"
