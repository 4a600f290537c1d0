"""What a rule lets go, on a history of three runs: promoted, refused, promoted."""

import json
from pathlib import Path

import pytest

from flows.ledger.bodies import AliasObserved, ApprovalRecorded, DataRecalled, PromotionIntended
from flows.retention.rule import Plan, Rule
from flows.workspace import workspace_lock
from tests.flows.history import MODEL, History
from tests.flows.retention.states import going, object_file, objects_of, paths, plan_of, put, put_object
from worldmodel.errors import ParamsError


def whys(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {run.run_id: run.why for run in plan.kept}


def test_a_refused_version_loses_its_workspace_and_keeps_its_objects(made: History) -> None:
    first, refused, last = made.runs
    plan = plan_of(made)
    assert whys(plan) == {
        last.run_id: ("the newest run", "made toy/3, the newest version", "toy/3 is champion"),
        first.run_id: ("toy/1 was champion",),
    }
    assert paths(plan, "workspace") == {f"workspaces/{refused.key}"}
    assert not going(plan, "object")
    own = objects_of(made, refused) - objects_of(made, first) - objects_of(made, last)
    held = {stays.why: stays.items for stays in plan.stays if stays.kind == "object"}
    assert held["a registered version needs it"] == len(own) > 0


def test_drop_refused_lets_go_what_only_refused_versions_need(made: History) -> None:
    first, refused, last = made.runs
    plan = plan_of(made, drop_refused=True)
    gone = {item.digest for item in going(plan, "object")}
    assert gone == objects_of(made, refused) - objects_of(made, first) - objects_of(made, last)
    assert all((made.state / item.path).stat().st_size == item.bytes for item in going(plan, "object"))


@pytest.mark.parametrize("reason", ["approval", "intent", "alias"])
def test_what_the_ledger_still_speaks_of_is_kept(made: History, reason: str) -> None:
    sha256 = str(made.runs[1].model["sha256"])
    if reason == "approval":
        said = {"approver": "ann", "verdict": "approve", "reason": "good", "keyid": "k"}
        made.ledger.append(ApprovalRecorded(model=f"{MODEL}/2", model_sha256=sha256, envelope={}, **said), "ann")
    elif reason == "intent":
        moved = {"from_version": "3", "from_sha256": str(made.runs[2].model["sha256"]), "cause": "approved"}
        intent = PromotionIntended(promotion="p9", name=MODEL, version="2", model_sha256=sha256, reason="r", **moved)
        made.ledger.append(intent, "ann")
    else:
        made.ledger.append(
            AliasObserved(name=MODEL, recorded_version="3", found_version="2", found_sha256=sha256), "ann"
        )
    plan = plan_of(made, drop_refused=True)
    assert made.runs[1].run_id in whys(plan)
    assert plan.items == ()


def test_a_rejection_keeps_nothing(made: History) -> None:
    said = {"approver": "ann", "verdict": "reject", "reason": "bad", "keyid": "k"}
    sha256 = str(made.runs[1].model["sha256"])
    made.ledger.append(ApprovalRecorded(model=f"{MODEL}/2", model_sha256=sha256, envelope={}, **said), "ann")
    assert made.runs[1].run_id not in whys(plan_of(made))


def test_numbers_and_days_keep_runs_that_nothing_else_keeps(made: History) -> None:
    refused = made.runs[1].run_id
    assert refused not in whys(plan_of(made, 1))
    assert whys(plan_of(made, 2))[refused] == ("one of the newest 2 runs",)
    assert whys(plan_of(made, 0, days=0.05))[refused] == ("younger than 0.05 days",)  # 72 minutes
    assert refused not in whys(plan_of(made, 0, days=0.04))  # 58 minutes


@pytest.mark.parametrize("rule", [{"newest": -1}, {"newest": 1, "days": -0.1}, {"newest": 1, "days": float("nan")}])
def test_a_rule_keeps_no_less_than_nothing(rule: dict[str, float]) -> None:
    with pytest.raises(ParamsError, match="a number of runs"):
        Rule(**rule)  # type: ignore[arg-type]


def test_an_object_that_no_lock_names_goes_once_it_is_an_hour_old(made: History) -> None:
    name = put_object(made.state, b"left by a stage that was killed")
    assert not going(plan_of(made, ahead=3000.0), "object")
    assert [item.digest for item in going(plan_of(made), "object")] == [name]


def test_a_lock_on_the_git_ref_alone_keeps_its_objects(made: History) -> None:
    first = made.runs[0]
    (made.state / "runs" / first.run_id / "dvc.lock").unlink()
    (made.workspace(first) / "dvc.lock").unlink()
    plan = plan_of(made)
    assert plan.notes == () and not going(plan, "object")
    record = made.state / "runs" / first.run_id / "run.json"
    record.unlink()
    assert not going(plan_of(made), "object")  # ledger and ref still know the run


def test_while_a_run_is_at_work_only_workspaces_of_others_go(made: History) -> None:
    name = put_object(made.state, b"whose is it?")
    with workspace_lock(made.state, made.runs[2].key):
        plan = plan_of(made, drop_refused=True)
    assert {item.kind for item in plan.items} == {"workspace"}
    assert any(stays.why == "a run is at work" and stays.kind == "object" for stays in plan.stays)
    with workspace_lock(made.state, made.runs[1].key):
        assert plan_of(made).items == ()
    assert name in {item.digest for item in plan_of(made).items}


@pytest.mark.parametrize("damage", ["gone", "altered"])
def test_a_listing_that_cannot_be_read_holds_back_the_whole_cache(made: History, damage: str) -> None:
    put_object(made.state, b"nobody's")
    listing = next(name for name in objects_of(made, made.runs[0], "prepare") if name.endswith(".dir"))
    path = object_file(made.state, listing)
    path.chmod(0o644)
    path.unlink() if damage == "gone" else path.write_text("[]")
    plan = plan_of(made, drop_refused=True)
    assert {item.kind for item in plan.items} == {"workspace"}
    (note,) = plan.notes
    assert listing[2:] in note and note.endswith("the cache is left alone")


def test_a_kept_run_whose_lock_is_nowhere_holds_back_the_whole_cache(made: History) -> None:
    put_object(made.state, b"nobody's")
    run = made.runs[0]
    facts = json.loads((made.state / "runs" / run.run_id / "run.json").read_text())
    put(
        made.state / "runs" / "20200101-000000-00000000" / "run.json",
        json.dumps(facts | {"run_id": "20200101-000000-00000000", "key": "0" * 16, "stages": {"prepare": {}}}),
    )
    assert going(plan_of(made, 1), "object")
    plan = plan_of(made, 4)
    assert not going(plan, "object")
    assert "20200101-000000-00000000, which is kept, is nowhere" in plan.notes[0]


def test_the_run_cache_keeps_the_entries_whose_outputs_stay(made: History) -> None:
    def entry(name: str, out: str) -> str:
        text = f"cmd: c\ndeps:\n- path: d\n  md5: {'0' * 32}\nouts:\n- path: o\n  md5: {out}\n"
        put(made.state / "cache" / "runs" / name[:2] / name / out, text)
        return f"cache/runs/{name[:2]}/{name}"

    kept = next(name for name in objects_of(made, made.runs[2]) if name.endswith(".dir"))
    entry("aa1", kept)
    partly = entry("aa1", "f" * 32)
    wholly = entry("bb1", "f" * 32)
    entry("bb1", "e" * 32)
    (made.state / "cache" / "runs" / "cc" / "cc1").mkdir(parents=True)  # on an empty folder DVC fails
    assert paths(plan_of(made), "run-cache") == {f"{partly}/{'f' * 32}", wholly, "cache/runs/cc/cc1"}
    assert not paths(plan_of(made, ahead=0), "run-cache")


def test_recalled_data_go_even_of_kept_runs_with_all_that_was_made_from_them(made: History) -> None:
    made.ledger.append(DataRecalled(what="log", id="log-a", reason="consent"), "ann")
    first, second, last = made.runs
    assert not going(plan_of(made, 3), "object")
    plan = plan_of(made, 3, recalled=True)
    both = objects_of(made, first) | objects_of(made, second)
    assert {item.digest for item in going(plan, "object")} == both - objects_of(made, last)
    stages = {(item.path.split("/")[1], item.path.split("/")[3]) for item in going(plan, "output")}
    assert {key for key, _ in stages} == {first.key, second.key}
    assert {"prepare", "train_tokenizer", "worldgen_dmd", "evaluate"} <= {stage for _, stage in stages}
    assert not going(plan, "workspace") and plan.notes == ()


def test_a_champion_that_serves_keeps_recalled_data_and_the_plan_says_so(made: History) -> None:
    made.ledger.append(DataRecalled(what="clip", id="log-b-clip1", reason="consent"), "ann")
    last = made.runs[2]
    plan = plan_of(made, 3, recalled=True)
    gone = {item.digest for item in going(plan, "object")}
    assert gone and not gone & objects_of(made, last)
    assert not any(last.key in item.path for item in plan.items)
    assert any(note.startswith("toy/3 serves: 8 of its outputs hold recalled data") for note in plan.notes)


def test_the_start_of_another_logs_name_recalls_nothing(made: History) -> None:
    made.ledger.append(DataRecalled(what="log", id="log-", reason="a slip"), "ann")
    assert plan_of(made, 3, recalled=True).items == ()


def test_media_speeds_and_features_go_with_the_runs_that_they_are_of(made: History) -> None:
    refused, champion = made.runs[1], made.runs[2]
    for run in (refused, champion):
        put(made.state / "runs" / run.run_id / "report.html")
        model = str(run.model["sha256"])
        put(made.state / "performance" / f"{model}.json", json.dumps({"model_sha256": model}))
        folder = made.state / "evaluations" / run.key
        put(folder / "report.json", json.dumps({"model": {"sha256": model}}))
        put(folder / "pictures" / "a.png", "12345")
        put(folder / "report.html")
    put(made.state / "features" / "net" / "old.safetensors")
    plan = plan_of(made)
    assert paths(plan, "media") == {
        f"runs/{refused.run_id}/report.html",
        f"evaluations/{refused.key}/pictures",
        f"evaluations/{refused.key}/report.html",
    }
    assert {item.bytes for item in going(plan, "media")} == {1, 5}
    assert paths(plan, "performance") == {f"performance/{refused.model['sha256']}.json"}
    assert not going(plan, "features")  # made after the oldest kept run began


def test_features_stay_as_long_as_a_run_of_their_time_and_go_with_recalled_data(made: History) -> None:
    put(made.state / "features" / "net" / "aa.safetensors")
    assert not going(plan_of(made, 1), "features"), "the champion's run is older"
    made.ledger.append(DataRecalled(what="log", id="log-a", reason="consent"), "ann")
    assert paths(plan_of(made, 1, recalled=True), "features") == {"features/net/aa.safetensors"}


def test_resume_state_stays_for_a_workspace_that_would_go_on_from_it(made: History) -> None:
    from flows.inputs import input_digest

    kept, refused = made.workspace(made.runs[2]), made.workspace(made.runs[1])
    needed = f"worldgen_dmd-{input_digest(kept, 'worldgen_dmd')[:16]}"
    other = f"worldgen_dmd-{input_digest(refused, 'worldgen_dmd')[:16]}"
    assert needed != other
    for name in (needed, other):
        put(made.state / "resume" / name / "saved.pt")
    assert paths(plan_of(made), "resume") == {f"resume/{other}"}
    assert not paths(plan_of(made, ahead=0), "resume")


def test_a_rebuild_goes_when_nobody_has_worked_at_it_lately(made: History) -> None:
    place = made.state / "rebuilds" / "f00"
    put(place / "workspaces" / "abc" / "run" / "prepare" / "log.txt")
    put(place / "workspaces" / "abc.lock", "")
    assert not going(plan_of(made, ahead=60.0), "rebuild")
    assert not going(plan_of(made, days=1), "rebuild")
    (item,) = going(plan_of(made), "rebuild")
    assert (item.path, item.lock) == ("rebuilds/f00", "rebuilds/f00/workspaces/abc.lock")
    with workspace_lock(place, "abc"):
        assert not going(plan_of(made), "rebuild")


def test_a_measurement_stays_while_it_can_go_on(made: History) -> None:
    from flows.manifest import digest

    def bench(key: str, run: int) -> dict[str, str]:
        identity = {"tree": made.runs[run].key + "0" * 24, "model_sha256": key}
        put(made.state / "workspaces" / key / "data" / "bench.json", json.dumps(identity))
        put(made.state / "workspaces" / key / ".git")
        return identity

    of_kept, _ = bench("a" * 16, 2), bench("b" * 16, 1)
    refused = f"workspaces/{made.runs[1].key}"
    assert paths(plan_of(made), "workspace") == {refused, f"workspaces/{'b' * 16}"}
    put(made.state / "evaluations" / digest(of_kept)[:16] / "report.json", "{}")
    assert paths(plan_of(made), "workspace") == {refused, f"workspaces/{'b' * 16}", f"workspaces/{'a' * 16}"}
    with workspace_lock(made.state, f"evaluation-{digest(of_kept)[:16]}"):
        assert f"workspaces/{'a' * 16}" not in paths(plan_of(made), "workspace")


def test_links_are_not_followed_and_strangers_stay(made: History, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside / "files" / "md5" / "ab" / ("c" * 30))
    put(outside / "features" / "f" / "x.safetensors")
    put(outside / "work" / ".git")
    objects = made.state / "cache" / "files" / "md5"
    free = next(name for name in (f"{number:02x}" for number in range(256)) if not (objects / name).exists())
    (objects / free).symlink_to(outside / "files" / "md5" / "ab")
    (made.state / "features").symlink_to(outside / "features")
    (made.state / "workspaces" / ("d" * 16)).symlink_to(outside / "work")
    put(made.state / "workspaces" / "notes" / "mine.txt")
    plan = plan_of(made)
    assert paths(plan, "workspace") == {f"workspaces/{made.runs[1].key}"}
    assert {item.kind for item in plan.items} == {"workspace"}
    assert "features is a link: what it leads to is left alone" in plan.notes
