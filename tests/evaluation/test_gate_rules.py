"""Whether the numbers are good enough: every kind of limit, by table."""

import pytest

from evaluation.gate import decide
from evaluation.report import Report
from tests.evaluation.gating import CHAMPION, GOOD, inputs, limits, report, rule, stopped
from tests.evaluation.videos import GOOD as VIDEOS
from tests.evaluation.videos import KVD_TOK, PSNR, video_group

BEATS = {"metric": KVD_TOK, "better_than": "repeat_last_frame", "margin": 10.0}
SLICE = "slice/synthetic/image/psnr"


def test_rules_state_limit_observed_interval_and_unit():
    decision = decide(inputs(report(synthetic=GOOD)))
    found = rule(decision, "absolute/synthetic/image/psnr/min")
    assert (found.limit, found.observed, found.unit, found.ci95.low) == (18.0, 21.0, "dB", 20.0)
    assert found.sentence == "image/psnr on synthetic is 21.00 dB, and must be at least 18.00 dB"
    found = rule(decision, "baseline/synthetic/image/psnr/nearest_context")
    assert (found.limit, found.observed, found.ci95.low) == (1.0, 2.0, 1.0)
    assert rule(decision, "champion/synthetic/image/psnr").sentence == "no champion yet"


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"image/psnr": [17.9] * 4}, {"absolute/synthetic/image/psnr/min": "fail"}),
        ({"image/psnr": [18.0] * 4}, {}),
        ({"depth/rmse": [5.1] * 4}, {"absolute/synthetic/depth/rmse/max": "fail"}),
        ({"depth/rmse": [None, 1.0, 1.0, 1.0]}, {"absolute/synthetic/depth/rmse/max": "missing"}),
        ({"depth/rmse": [1.0, 1.0, 1.0]}, {"absolute/synthetic/depth/rmse/max": "missing"}),
        (
            {"image/psnr": [None, 30.0, 30.0, 30.0]},
            {
                "absolute/synthetic/image/psnr/min": "missing",
                "baseline/synthetic/image/psnr/nearest_context": "missing",
            },
        ),
    ],
)
def test_what_is_below_a_limit_nan_or_not_of_all_clips_is_refused(metrics, expected):
    decision = decide(inputs(report(synthetic=GOOD | metrics)))
    assert stopped(decision) == expected
    assert decision.verdict == ("refuse" if expected else "promote")


def test_a_metric_that_was_not_measured_is_missing_and_a_nan_is_explained():
    decision = decide(inputs(report(synthetic={"image/psnr": [20.0]})))
    assert stopped(decision) == {"absolute/synthetic/depth/rmse/max": "missing"}
    decision = decide(inputs(report(synthetic=GOOD | {"depth/rmse": [None]})))
    assert "NaN in 1 of 6 images" in rule(decision, "absolute/synthetic/depth/rmse/max").sentence


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"difference": 0.9, "value": 20.1}, "fail"),
        ({"difference": 1.0, "value": 20.0, "difference_ci95": {"low": 0.1, "high": 2.0}}, "pass"),
        ({"difference_ci95": {"low": -0.1, "high": 4.0}}, "fail"),
        ({"difference_ci95": {"low": 0.0, "high": 4.0}}, "fail"),
        ({"difference_ci95": None}, "missing"),
        (None, "missing"),
    ],
)
def test_the_margin_over_the_baseline_must_be_met_and_surely_above_zero(changes, verdict):
    raw = report(synthetic=GOOD).model_dump(mode="json")
    psnr = raw["groups"][0]["metrics"][0]
    nearest = psnr["baselines"]["nearest_context"]
    psnr["baselines"] = {} if changes is None else {"nearest_context": nearest | changes}
    decision = decide(inputs(Report.model_validate(raw)))
    assert rule(decision, "baseline/synthetic/image/psnr/nearest_context").verdict == verdict


def test_for_an_error_less_than_the_baseline_is_better():
    asked = limits(over_baseline=[{"metric": "depth/rmse", "margin": 1.5}])
    found = rule(decide(inputs(report(synthetic=GOOD), asked=asked)), "baseline/synthetic/depth/rmse/nearest_context")
    assert (found.verdict, found.observed) == ("pass", 2.0)


def test_every_source_must_have_been_measured_on_held_out_logs():
    measured = report(same_log=("dgp_street",), synthetic=GOOD, dgp_street=GOOD)
    assert stopped(decide(inputs(measured))) == dict.fromkeys(
        [
            "coverage/dgp_street/reconstruction",
            "absolute/dgp_street/depth/rmse/max",
            "baseline/dgp_street/image/psnr/nearest_context",
        ],
        "not_applicable",
    )


@pytest.mark.parametrize("reasons", [(), ("no camera poses", "no camera poses")])
def test_a_source_of_the_data_without_any_measurement_is_refused_for_the_reports_reason(reasons):
    raw = report(synthetic=GOOD, fleet=GOOD).model_dump(mode="json")
    raw["groups"] = [group for group in raw["groups"] if group["source"] == "synthetic"]
    entry = {"what": "1 clip of fleet", "stage": "reconstruct", "source": "fleet"}
    raw["not_applicable"] = [entry | {"reason": reason} for reason in reasons]
    raw["not_applicable"] += [entry | {"reason": "max_samples is 2", "stage": "rollout"}]
    found = rule(decide(inputs(Report.model_validate(raw))), "coverage/fleet/reconstruction")
    assert found.verdict == ("not_applicable" if reasons else "missing")
    said = "no reconstruction was measured of a test clip of fleet"
    assert found.sentence == said + (": no camera poses" if reasons else "")


def test_the_source_a_limit_names_must_be_there():
    assert stopped(decide(inputs(report(fleet=GOOD)))) == {"absolute/synthetic/image/psnr/min": "missing"}


@pytest.mark.parametrize(
    ("champion", "expected"),
    [
        ({"image/psnr": [21.5, 21.5, 20.0, 23.0]}, {}),
        ({"image/psnr": [21.6, 21.6, 20.6, 22.6]}, {"champion/synthetic/image/psnr": "fail"}),
        ({"image/psnr": [20.2, 22.2, 21.2, 21.2]}, {}),  # surely worse, and tolerated
        ({"depth/rmse": [1.0, 4.0, 4.0, 2.0]}, {}),
        ({"depth/rmse": [1.0, 4.0, 4.0, 1.9]}, {"champion/synthetic/depth/rmse": "fail"}),
        ({"image/psnr": [None] * 4}, {"champion/synthetic/image/psnr": "missing"}),
    ],
)
def test_no_more_may_be_lost_against_the_champion_than_the_limits_say(champion, expected):
    theirs = report(sha256=CHAMPION, synthetic=GOOD | champion)
    assert stopped(decide(inputs(report(synthetic=GOOD), theirs))) == expected


def test_a_comparison_with_other_values_than_the_reports_is_not_believed():
    given = inputs(report(synthetic=GOOD), report(sha256=CHAMPION, synthetic=GOOD | {"image/psnr": [30.0] * 4}))
    forged = [d.model_copy(update={"champion": d.challenger, "difference": 0.0}) for d in given.comparison.differences]
    forged = [
        type(d).model_validate(d.model_dump() | {"ci95": {"low": 0, "high": 0}, "verdict": "cannot tell"})
        for d in forged
    ]
    compared = given.comparison.model_copy(update={"differences": tuple(forged)})
    decision = decide(given.model_copy(update={"comparison": compared}))
    found = rule(decision, "champion/synthetic/image/psnr")
    assert found.verdict == "missing" and "other values than the reports" in found.sentence


def test_to_be_sure_of_the_champion_takes_an_interval():
    one = {"image/psnr": [20.0, 21.0], "depth/rmse": [3.0, 3.0]}
    asked = limits(against_champion=[{"metric": "image/psnr", "max_drop": 5.0, "judge": "interval"}])
    decision = decide(inputs(report(synthetic=one), report(sha256=CHAMPION, synthetic=one), asked))
    found = rule(decision, "champion/synthetic/image/psnr")
    assert found.verdict == "missing" and "an interval over logs needs 3" in found.sentence


# --- slices


def sliced(limit, light=("day", "night"), psnr=(22.0, 18.0), champion=None):
    metrics = {"depth/rmse": [3.0] * 8, "image/psnr": list(psnr) * 4}
    theirs = None if champion is None else metrics | {"image/psnr": list(champion) * 4}
    other = None if theirs is None else report(sha256=CHAMPION, light=light, synthetic=theirs)
    asked = limits(slices=[{"metric": "image/psnr"} | limit], absolute=[{"metric": "image/psnr", "min": 0.0}])
    return decide(inputs(report(light=light, synthetic=metrics), other, asked))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"slice": "light", "min": 18.0}, {}),
        ({"slice": "light", "min": 19.0}, {f"{SLICE}/light=night/min": "fail"}),
        ({"slice": "light=day", "min": 19.0}, {}),
        ({"slice": "light=day", "max": 19.0}, {f"{SLICE}/light=day/max": "fail"}),
        ({"slice": "light=dusk", "min": 1.0}, {f"{SLICE}/light=dusk/min": "missing"}),
        ({"slice": "light=night", "min": 1.0, "min_clips": 5}, {f"{SLICE}/light=night/min": "missing"}),
        ({"slice": "light", "min": 1.0, "min_clips": 5}, {f"{SLICE}/light/min": "missing"}),
        ({"slice": "weather", "min": 1.0}, {f"{SLICE}/weather/min": "missing"}),
        ({"slice": "camera", "min": 20.0}, {}),
        ({"slice": "camera=front", "min": 21.0}, {f"{SLICE}/camera=front/min": "fail"}),
        ({"slice": "camera=back", "min": 1.0}, {f"{SLICE}/camera=back/min": "missing"}),
        ({"slice": "light", "max_drop": 0.0}, {}),
    ],
)
def test_each_slice_has_a_limit_of_its_own_and_clips_enough(limit, expected):
    assert stopped(sliced(limit)) == expected


def test_a_dimension_that_some_clips_do_not_tell_is_missing():
    raw = report(light=("day",), synthetic={"image/psnr": [20.0] * 8}).model_dump(mode="json")
    raw["clips"][5]["slices"] = {}
    asked = limits(slices=[{"metric": "image/psnr", "slice": "light", "min": 1.0}])
    found = rule(decide(inputs(Report.model_validate(raw), asked=asked)), f"{SLICE}/light/min")
    assert (found.verdict, found.sentence) == ("missing", "1 of 8 clips of synthetic do not say their light")


@pytest.mark.parametrize(
    ("champion", "expected"),
    [
        ((21.0, 18.0), {}),
        ((22.0, 18.4), {}),
        ((22.0, 18.6), {f"{SLICE}/light=night/champion": "fail"}),
        ((23.0, 17.0), {f"{SLICE}/light=day/champion": "fail"}),
    ],
)
def test_no_more_may_be_lost_on_a_slice_than_its_limit_says(champion, expected):
    decision = sliced({"slice": "light", "max_drop": 0.5}, champion=champion)
    assert {name: verdict for name, verdict in stopped(decision).items() if "slice" in name} == expected


# --- videos


def judged(group, *generation, **sources):
    measured = report(group, **(sources or {"synthetic": GOOD})) if group else report(synthetic=GOOD)
    return decide(inputs(measured, asked=limits(generation=list(generation))))


def test_a_student_that_surely_beats_the_repeated_frame_is_promoted():
    decision = judged(video_group(), BEATS)
    assert decision.verdict == "promote"
    assert rule(decision, "coverage/synthetic/videos").verdict == "pass"
    found = rule(decision, f"generation/synthetic/dmd/{KVD_TOK}/repeat_last_frame")
    assert (found.limit, found.observed) == (10.0, 60.0)
    assert "95 % interval from +55.000" in found.sentence


@pytest.mark.parametrize(
    ("group", "verdict"),
    [
        ({"values": VIDEOS | {"dmd": 90.0}}, "pass"),
        ({"values": VIDEOS | {"dmd": 91.0}}, "fail"),
        ({"values": VIDEOS | {"dmd": 80.0}, "half": 20.0}, "fail"),
        ({"values": VIDEOS | {"dmd": 80.0}, "half": 19.9}, "pass"),
        ({"values": {"dmd": 40.0}}, "missing"),
        ({"values": {"repeat_last_frame": 100.0}}, "missing"),
    ],
)
def test_the_margin_must_be_met_and_its_interval_leave_out_zero(group, verdict):
    decision = judged(video_group(**group), BEATS)
    found = rule(decision, f"generation/synthetic/dmd/{KVD_TOK}/repeat_last_frame")
    assert (found.verdict, decision.verdict == "promote") == (verdict, verdict == "pass")


def test_without_an_interval_nothing_is_sure():
    raw = video_group().model_dump()
    raw["methods"][2]["metrics"][0]["against"]["repeat_last_frame"] |= {"ci95": None, "no_interval": "2 logs"}
    decision = judged(type(video_group()).model_validate(raw), BEATS)
    assert stopped(decision) == {f"generation/synthetic/dmd/{KVD_TOK}/repeat_last_frame": "missing"}


@pytest.mark.parametrize(
    ("bound", "verdict"), [({"max": 40.0}, "pass"), ({"max": 39.0}, "fail"), ({"min": 41.0}, "fail")]
)
def test_a_value_may_have_a_bound_of_its_own(bound, verdict):
    decision = judged(video_group(), {"metric": KVD_TOK} | bound)
    assert rule(decision, f"generation/synthetic/dmd/{KVD_TOK}/{next(iter(bound))}").verdict == verdict


def test_a_source_without_generated_videos_is_refused():
    decision = judged(video_group(), BEATS, synthetic=GOOD, street=GOOD)
    name = f"generation/street/dmd/{KVD_TOK}/repeat_last_frame"
    assert stopped(decision) == dict.fromkeys(["coverage/street/videos", name], "missing")


def test_too_few_logs_for_a_distance_are_not_applicable_with_the_reason():
    decision = judged(video_group(metrics=(PSNR,), no_distances="1 log: no FVD claim"), BEATS)
    name = f"generation/synthetic/dmd/{KVD_TOK}/repeat_last_frame"
    assert stopped(decision) == {name: "not_applicable"}
    assert "1 log: no FVD claim" in rule(decision, name).sentence


def test_a_limit_on_one_source_asks_no_metric_of_the_others():
    street = video_group("street", metrics=(PSNR,), no_distances="1 log")
    measured = report(video_group(), street, synthetic=GOOD, street=GOOD)
    asked = limits(generation=[BEATS | {"source": "synthetic"}])
    assert decide(inputs(measured, asked=asked)).verdict == "promote"


def test_without_limits_on_videos_none_is_asked_for():
    assert judged(None).verdict == "promote"
    assert judged(None, BEATS).verdict == "refuse"


def test_why_no_video_was_generated_is_the_reports_reason():
    entries = [
        {"what": "videos", "reason": f"{source} has one log", "stage": "rollout", "source": source}
        for source in ("synthetic", "street")
    ]
    measured = Report.model_validate(report(synthetic=GOOD).model_dump() | {"not_applicable": entries})
    found = rule(decide(inputs(measured, asked=limits(generation=[BEATS]))), "coverage/synthetic/videos")
    assert found.verdict == "not_applicable"
    assert found.sentence == "no video was generated of a test clip of synthetic: synthetic has one log"
