"""The commands `approve`, `promote`, `rollback` and `reconcile`, as people and scripts call them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.commands import promotion as commands
from flows.git import git
from flows.ledger.anchors import read_anchors
from flows.ledger.bodies import DataRecalled
from flows.promotion.promote import promote
from flows.promotion.rollback import Rollback
from tests.flows.promotion.conftest import registry_file
from tests.flows.promotion.stage import NAME, Stage, make_stage, promotion, sha
from worldmodel.errors import LedgerError, RegistryError

__all__ = ["registry_file"]
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own


@pytest.fixture
def stage(tmp_path: Path, registry_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A checkout as the working directory; version 1 serves after version 3, version 2 waits for an approval."""
    checkout, state = tmp_path / "checkout", tmp_path / "state"
    checkout.mkdir()
    state.mkdir()
    git(checkout, "init", "--quiet", "--initial-branch=main")
    for name in ("dvc.yaml", "params.yaml"):
        (checkout / name).write_text("{}\n")
    (checkout / ".dvc").mkdir()
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message=A project")
    made = make_stage(state, registry_file)
    made.know([1, 2, 3])
    promote(made.ledger, made.client, promotion(3, None), "trainer")
    promote(made.ledger, made.client, promotion(1, 3), "trainer")
    made.record_run(2, "promote", sha(1), approvals=1)
    monkeypatch.chdir(checkout)
    for name, value in {
        "WORLDMODEL_STATE": str(state),
        "WORLDMODEL_ACTOR": "alice",
        "WORLDMODEL_SIGNING_KEY": str(state / "keys" / "signing.pem"),
        "MLFLOW_TRACKING_URI": made.registry,
    }.items():
        monkeypatch.setenv(name, value)
    yield made
    made.ledger.close()


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    """The JSON document on standard output."""
    return json.loads(capsys.readouterr().out)


def key_of(stage: Stage, owner: str) -> Path:
    """The file of a new approver's key."""
    stage.enlist(owner, "approver")
    return next((stage.root / "keys").glob(f"{owner}-*.pem"))


def test_approve_then_promote_then_roll_back(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    key = key_of(stage, "alice")
    assert commands.approve(f"{NAME}/2", "looks right", reject=True, key=key, as_json=False) == 0
    said = capsys.readouterr().out
    assert "toy version 2 is rejected, in entry" in said and "still missing: alice rejects it: looks right" in said
    assert commands.approve(f"{NAME}/2", "fixed", reject=False, key=key, as_json=False) == 0
    assert "next: worldmodel promote toy/2" in capsys.readouterr().out
    assert commands.promote(f"{NAME}/2", as_json=False) == 0
    assert "toy version 2 is champion, in place of version 1: the gate of run run-2 let" in capsys.readouterr().out
    assert commands.promote(f"{NAME}/2", as_json=False) == 0
    assert capsys.readouterr().out == "toy version 2 is champion already: there is nothing to promote\n"
    commands.approve(f"{NAME}/2", "still fine", reject=False, key=key, as_json=False)
    said = capsys.readouterr().out
    assert "it is champion already: nothing is left to do" in said and "worldmodel promote" not in said
    commands.approve(f"{NAME}/2", "on second thoughts", reject=True, key=key, as_json=False)
    assert "it is champion still: worldmodel rollback toy --reason TEXT" in capsys.readouterr().out
    assert commands.roll_back(Rollback(NAME, "it blurs"), as_json=False) == 0
    assert "toy version 1 is champion, in place of version 2: it blurs" in capsys.readouterr().out
    stage.assert_agrees()
    head = stage.ledger.head()
    assert head is not None and len(read_anchors(Path.cwd())) == 6  # one a command that recorded something


def test_the_same_as_json(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    commands.approve(sha(2)[:12], "looks right", reject=False, key=key_of(stage, "alice"), as_json=True)
    found = answer(capsys)
    assert (found["name"], found["version"], found["missing"]) == (NAME, "2", "")
    assert found["recorded"][0]["kind"] == "approval.recorded" and "envelope" not in found["recorded"][0]["body"]
    commands.promote(f"{NAME}/2", as_json=True)
    found = answer(capsys)
    assert (found["version"], found["from_version"], found["cause"]) == ("2", "1", "approved")
    assert found["already_champion"] is False
    assert [entry["kind"] for entry in found["recorded"]] == ["promotion.intended", "promotion.completed"]
    commands.promote(f"{NAME}/2", as_json=True)
    found = answer(capsys)
    assert (found["version"], found["already_champion"], found["recorded"]) == ("2", True, [])
    commands.roll_back(Rollback(NAME, "it blurs", to="3"), as_json=True)
    assert answer(capsys)["version"] == "3"
    stage.put_by_hand(1)
    commands.reconcile(NAME, as_json=True)
    (entry,) = answer(capsys)[NAME]
    assert (entry["kind"], entry["body"]["found_version"]) == ("alias.observed", "1")


def test_reconcile_tells_of_every_model_and_warns(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.reconcile(None, as_json=False) == 0
    assert capsys.readouterr().out == "toy: ledger and registry agree\n"
    stage.put_by_hand(3)
    commands.reconcile(None, as_json=False)
    said = capsys.readouterr().out
    assert said == "toy: the alias champion stands at version 3, where the ledger had version 1\n"
    with pytest.raises(RegistryError, match="nobody: no version is called that") as caught:
        commands.reconcile("nobody", as_json=False)
    assert caught.value.expected == NAME


def test_models_are_found_by_name_version_or_digest(stage: Stage) -> None:
    for spec, why in {
        f"{NAME}/9": "the ledger knows no version 9 of toy",
        "deadbeef": "deadbeef: no version is called that",
        "no name": "no name: not the name of a version",
    }.items():
        with pytest.raises(RegistryError, match=why):
            commands.promote(spec, as_json=False)
    with pytest.raises(RegistryError, match="toy version 2 cannot be promoted now") as caught:
        commands.promote(f"{NAME}/2", as_json=False)
    assert caught.value.got == "0 of 1 approvals"
    assert caught.value.expected.endswith("1 approval of people who did not train it")


def test_data_that_are_recalled_and_a_model_without_lineage_do_not_go_together(stage: Stage) -> None:
    stage.ledger.append(DataRecalled(what="log", id="l1", reason="consent"), "carol")
    with pytest.raises(RegistryError, match="version 3 of toy has seen recalled data") as caught:
        commands.roll_back(Rollback(NAME, "it blurs", to="3"), as_json=False)
    assert caught.value.got.startswith("nobody knows what: ")


def test_a_user_whose_key_is_no_runners_is_told_that_the_end_is_not_signed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(key_of(stage, "alice")))
    commands.roll_back(Rollback(NAME, "it blurs", to="3"), as_json=False)
    assert "this user's key may not sign the ledger's end" in capsys.readouterr().out
    assert read_anchors(Path.cwd()) == []


def test_without_a_ledger_there_is_nothing_to_do(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path / "empty"))
    with pytest.raises(LedgerError, match="nothing is recorded yet"):
        commands.reconcile(None, as_json=False)
