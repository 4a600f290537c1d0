"""Deleting: the ledger is told first, a killed sweep is finished by the next, and the records stay whole."""

import multiprocessing
import signal
import time
from pathlib import Path

import pytest

from flows.git import git
from flows.ledger.anchors import read_anchors
from flows.ledger.bodies import RetentionDeleted
from flows.ledger.reading import bodies
from flows.retention import sweep as module
from flows.retention.locks import alone, no_deleting
from flows.retention.plan import make_plan
from flows.retention.rule import Plan, Rule
from flows.retention.sweep import PER_TOMBSTONE, Swept, sweep
from flows.runs import Runs
from flows.workspace import open_workspace, take_snapshot, workspace_lock
from tests.flows.audit.verify.tampering import verdict_on
from tests.flows.history import History
from tests.flows.retention.states import AN_HOUR, going, object_file, objects_of, place_of, plan_of, put_object
from tests.flows.retention.states import tree_digest as digest_of
from tests.flows.retention.workers import POINTS, main
from worldmodel.errors import WorkspaceError


def swept(made: History, plan: Plan) -> Swept:
    return sweep(place_of(made), plan, made.key, "ann")


def tombstones(made: History) -> list[str]:
    return [item.path for _, body in bodies(made.ledger.entries(), RetentionDeleted) for item in body.items]


def test_after_a_sweep_what_is_kept_is_whole_and_the_verifier_finds_nothing(made: History) -> None:
    first, refused, last = made.runs
    gone = objects_of(made, refused) - objects_of(made, first) - objects_of(made, last)
    kept = {path: path.read_bytes() for name in objects_of(made, last) for path in [object_file(made.state, name)]}
    records, refs = digest_of(made.state / "records"), git(made.root, "for-each-ref", "refs/worldmodel/runs")
    folders = digest_of(made.state / "runs")
    found = swept(made, plan_of(made, drop_refused=True))
    assert found.notes == []
    assert not made.workspace(refused).exists()
    assert made.workspace(first).is_dir() and made.workspace(last).is_dir()
    assert str(made.workspace(refused)) not in git(made.root, "worktree", "list")
    assert gone and not any(object_file(made.state, name).exists() for name in gone)
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert (digest_of(made.state / "records"), digest_of(made.state / "runs")) == (records, folders)
    assert git(made.root, "for-each-ref", "refs/worldmodel/runs") == refs
    assert verdict_on(made).findings == []
    assert not list(made.state.rglob(".deleted"))


def test_the_tombstones_name_all_that_went_under_the_rule_and_are_anchored(made: History) -> None:
    before = len(read_anchors(made.root))
    found = swept(made, plan_of(made, drop_refused=True))
    (entry, body), *others = bodies(made.ledger.entries(), RetentionDeleted)
    assert others == [] and entry.actor == "ann" and found.entries == [entry.sequence]
    assert body.rule == "gc --keep 1 --drop-refused"
    assert sorted(item.path for item in body.items) == sorted(item.path for item in found.items)
    objects = [item for item in body.items if item.kind == "object"]
    assert objects and all(item.digest is not None and item.path.endswith(item.digest[2:]) for item in objects)
    assert len(read_anchors(made.root)) == before + 1
    assert not swept(made, plan_of(made, drop_refused=True)).items
    assert len(read_anchors(made.root)) == before + 1, "nothing was recorded, and yet there is another anchor"


def test_a_tombstone_names_no_more_than_five_hundred_things(made: History) -> None:
    for number in range(PER_TOMBSTONE + 3):
        put_object(made.state, f"nobody's {number}".encode())
    found = swept(made, plan_of(made))
    sizes = [len(body.items) for _, body in bodies(made.ledger.entries(), RetentionDeleted)]
    assert sizes == [PER_TOMBSTONE, 4] and len(found.items) == PER_TOMBSTONE + 4


def test_what_is_made_again_after_its_tombstone_gets_another_when_it_goes(made: History) -> None:
    for _ in range(2):
        put_object(made.state, b"nobody's")
        swept(made, plan_of(made))
    assert len([path for path in tombstones(made) if path.startswith("cache/")]) == 2


@pytest.mark.parametrize("point", POINTS)
def test_a_sweep_that_was_killed_is_finished_by_the_next(made: History, point: str) -> None:
    plan = plan_of(made, drop_refused=True)
    arguments = (made.root, made.key_path, time.time() + AN_HOUR, point)
    process = multiprocessing.get_context("fork").Process(target=main, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL

    everything = sorted(item.path for item in plan.items)
    assert sorted(tombstones(made)) == ([] if point == POINTS[0] else everything)
    assert verdict_on(made, quick=True).findings == []
    for item in plan.items:
        path = made.state / item.path
        assert not path.exists() or not path.is_dir() or (path / "dvc.lock").is_file(), "half deleted in its place"

    swept(made, plan_of(made, drop_refused=True))
    assert sorted(tombstones(made)) == everything, "a thing has two tombstones, or none"
    assert not any((made.state / path).exists() for path in everything)
    assert not list(made.state.rglob(".deleted"))
    assert verdict_on(made).findings == []
    head = made.ledger.head()
    assert head is not None and read_anchors(made.root)[-1].envelope, "the end is not anchored"


def test_a_second_gc_is_refused(made: History) -> None:
    with alone(made.state), pytest.raises(WorkspaceError, match="another gc is at work"), alone(made.state):
        pass
    with alone(made.state):
        pass


def test_a_run_that_says_so_keeps_the_cache_as_it_is(made: History) -> None:
    name = put_object(made.state, b"nobody's")
    plan = plan_of(made)
    with no_deleting(made.state), no_deleting(made.state):  # two runs
        found = swept(made, plan)
    assert {item.kind for item in found.items} == {"workspace"} and "a run is at work now" in found.notes[0]
    assert object_file(made.state, name).is_file()
    assert not any(path.startswith("cache/") for path in tombstones(made))


def test_a_workspace_that_a_run_entered_meanwhile_stays_and_so_does_the_cache(made: History) -> None:
    put_object(made.state, b"nobody's")
    plan = plan_of(made)
    with workspace_lock(made.state, made.runs[1].key):
        found = swept(made, plan)
    assert found.items == [] and tombstones(made) == []
    assert made.workspace(made.runs[1]).is_dir()


def test_a_run_that_began_and_ended_meanwhile_keeps_the_cache_as_it_is(made: History) -> None:
    put_object(made.state, b"it found that in the cache")
    plan = plan_of(made)
    runs = Runs(made.state)
    runs.finish(runs.create("e" * 16, profile="tiny", snapshot="", dirty=False, sources=[]), "refused", 0)
    assert {item.kind for item in swept(made, plan).items} == {"workspace"}


def test_a_run_that_begins_while_things_are_moved_finds_them_back(
    made: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put_object(made.state, b"nobody's")
    answers = iter([True, False])
    monkeypatch.setattr(module, "_undisturbed", lambda *arguments: next(answers))
    found = swept(made, plan_of(made))
    assert object_file(made.state, name).read_bytes() == b"nobody's"
    assert "is back in its place" in found.notes[0]
    assert {item.kind for item in found.items} == {"workspace"}


def test_links_inside_what_goes_lead_nowhere(made: History, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "data.txt").write_text("keep me")
    refused = made.workspace(made.runs[1])
    (refused / "artifacts" / "link").symlink_to(outside)
    (refused / "data.txt").symlink_to(outside / "data.txt")
    (item,) = going(plan_of(made), "workspace")
    assert item.bytes < 100_000
    plan = plan_of(made)
    refused.rename(tmp_path / "moved")
    refused.symlink_to(tmp_path / "moved")  # put there after the plan was made
    swept(made, plan)
    assert (outside / "data.txt").read_text() == "keep me" and (tmp_path / "moved" / "dvc.lock").is_file()


def test_a_path_that_became_a_link_to_elsewhere_is_not_entered(made: History, tmp_path: Path) -> None:
    name = put_object(made.state, b"nobody's")
    plan = plan_of(made)
    folder = object_file(made.state, name).parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    swept(made, plan)
    assert (tmp_path / "elsewhere" / name[2:]).is_file()


def test_a_deleted_workspace_can_be_opened_anew(made: History) -> None:
    snapshot = take_snapshot(made.root, "seed: 8\n", "{}")
    path = open_workspace(made.root, made.state, snapshot)
    assert path in {made.state / item.path for item in going(plan_of(made), "workspace")}
    swept(made, plan_of(made))
    assert not path.exists()
    assert (open_workspace(made.root, made.state, snapshot) / "params.yaml").read_text() == "seed: 8\n"


def test_recalled_outputs_go_from_kept_workspaces_and_the_verifier_knows(made: History) -> None:
    from flows.ledger.bodies import DataRecalled

    made.ledger.append(DataRecalled(what="log", id="log-a", reason="consent"), "ann")
    plan = make_plan(place_of(made), Rule(3, recalled=True, now=time.time() + AN_HOUR))
    swept(made, plan)
    first, last = made.workspace(made.runs[0]), made.workspace(made.runs[2])
    assert not (first / "artifacts" / "prepare").exists() and (first / "dvc.lock").is_file()
    assert (last / "artifacts" / "prepare").is_dir()
    assert verdict_on(made).findings == []
    again = make_plan(place_of(made), Rule(3, now=time.time() + AN_HOUR))
    assert again.items == () and again.notes == (), "listings with a tombstone hold nothing back"
