"""The auditor's commands: words within 80 columns, or one JSON document."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.audit.validations import ExpectationFacts, Validation
from flows.commands import audit, audit_findings
from flows.ledger.bodies import AliasObserved, ChampionFlagged, DataRecalled, DataReinstated, Deleted, RetentionDeleted
from tests.flows.audit.going_on import add_pupil
from tests.flows.history import History, environment, make_history
from worldmodel.errors import RecordError, WorkspaceError

LONG = "a reason that somebody wrote at such length that no line of eighty columns could hold the whole of it [sic]"


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """A history with a bit of everything: a pupil of an earlier teacher, recalls, flags, tombstones. No test changes
    it."""
    with pytest.MonkeyPatch.context() as patch:
        made = make_history(tmp_path_factory.mktemp("eventful"))
        add_pupil(made, patch)
    sha256 = made.runs[2].model["sha256"]
    made.ledger.append_all(
        [
            DataRecalled(what="log", id="log-b", reason=LONG),
            ChampionFlagged(name="toy", version="3", model_sha256=sha256, recalled="log log-b", splits={"train": 2}),
            DataRecalled(what="log", id="log-c", reason=LONG),
            ChampionFlagged(name="toy", version="3", model_sha256=sha256, recalled="log log-c", splits={"val": 1}),
            DataReinstated(what="log", id="log-c", reason=LONG),
            AliasObserved(name="toy", recorded_version="3", found_version=None, found_sha256=None),
            RetentionDeleted(rule=LONG, items=(Deleted(kind="object", path="cache/" + "x" * 90, bytes=2**20),)),
        ],
        "ada",
    )
    yield made
    made.ledger.close()


@pytest.fixture
def here(eventful: History, monkeypatch: pytest.MonkeyPatch) -> History:
    """That history, and a shell in its checkout."""
    monkeypatch.chdir(eventful.root)
    monkeypatch.setenv("WORLDMODEL_STATE", environment(eventful)["WORLDMODEL_STATE"])
    return eventful


Command = Callable[..., int]
QUESTIONS: dict[str, tuple[Command, tuple[Any, ...], dict[str, Any], str]] = {
    "champion": (audit.champion, (None,), {"history": True}, "toy version 3 is champion since"),
    "trace": (audit.trace, ("toy/4",), {"logs": True}, "pretrained"),
    "impact": (audit.impact, ("log-b",), {}, "4 models saw it, 1 of them champion"),
    "disjoint": (audit.disjoint, ("toy/3",), {}, "toy version 3: disjoint"),
    "validations": (audit.validations, ("drives",), {}, "manifest met 0 ids are unique: clip_id"),
    "diff": (audit.diff, ("toy/1", "toy/4"), {}, "log moved log-b: train -> test"),
    "rejected": (audit.rejected, (None,), {}, "image/psnr on synthetic is 12.00 dB"),
    "tombstones": (audit.tombstones, (), {}, "1 object"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_is_words_within_80_columns(here: History, capsys: pytest.CaptureFixture[str], question: str) -> None:
    command, arguments, options, told = QUESTIONS[question]
    assert command(*arguments, **options, at=None, as_json=False) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert told in " ".join(shown.split())


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_is_one_json_document_with_whole_digests(
    here: History, capsys: pytest.CaptureFixture[str], question: str
) -> None:
    command, arguments, options, _ = QUESTIONS[question]
    assert command(*arguments, **options, at=None, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["at"] is None and len(found) > 1


def test_what_is_amiss_with_a_champion_is_said(here: History, capsys: pytest.CaptureFixture[str]) -> None:
    audit.champion("toy", history=False, at=None, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "log log-b is recalled, and it saw 2 clips in train" in shown
    assert "it saw 1 clip in val of log log-c, whose recall was taken back since" in shown
    assert "log log-c is recalled" not in shown
    assert "the registry's alias stood at no version, and the ledger says version 3" in shown


def test_an_impact_and_a_trace_have_names_that_can_be_read(here: History, capsys: pytest.CaptureFixture[str]) -> None:
    audit.impact("log-b", at=None, as_json=False)
    shown = capsys.readouterr().out.splitlines()
    assert "toy/3, champion now" in shown and "toy/4" in shown
    audit.trace("toy/3", logs=False, at=None, as_json=False)
    shown = capsys.readouterr().out.splitlines()
    (prepared,) = [line.split() for line in shown if line.startswith("prepare ")]
    maker = here.runs[2].run_id
    assert re.fullmatch(r"\d{8}-\d{6}", prepared[2]) and maker.startswith(prepared[2])


def test_checks_of_one_kind_are_one_row_with_their_columns() -> None:
    found = [
        ExpectationFacts(
            suite="manifest",
            check="complete",
            column=column,
            asked={},
            success=column != "source",
            not_applicable=False,
            checked=8,
            unexpected=int(column == "source"),
            exception=None,
        )
        for column in ("clip_id", "source", "log_id")
    ]

    def shown(*expectations: ExpectationFacts) -> str:
        one = Validation.model_construct(expectations=expectations)
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(*audit_findings._expectations(one))
        return " ".join(console.export_text().split())

    assert "manifest met 0 complete: clip_id, log_id" in shown(found[0], found[2])
    assert shown(*found).endswith("manifest not met 1 complete: source")


def test_a_model_does_not_differ_from_itself(here: History, capsys: pytest.CaptureFixture[str]) -> None:
    audit.diff("toy", "toy/3", at=None, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown == f"A and B are the same model, toy version 3 of run {here.runs[2].run_id}: nothing differs"
    audit.diff("toy/1", "toy/3", at=None, as_json=True)
    assert json.loads(capsys.readouterr().out)["same"] is False


@pytest.mark.parametrize("question", ["trace", "diff"])
def test_before_there_was_a_model_that_is_all_there_is_to_say(here: History, question: str) -> None:
    command, arguments, options, _ = QUESTIONS[question]
    with pytest.raises(RecordError, match=r"toy/\d: no model was registered by 2001-01-01 23:59:59Z") as caught:
        command(*arguments, **options, at="2001-01-01", as_json=False)
    assert caught.value.got == "" and "--at TIME" in caught.value.fix


def test_what_was_recalled_is_said_with_its_reason(here: History, capsys: pytest.CaptureFixture[str]) -> None:
    audit.impact("log-b-clip0", at=None, as_json=False)
    assert f"by ada: {LONG}" in " ".join(capsys.readouterr().out.split())


def test_an_answer_about_the_past_says_as_of_when(here: History, capsys: pytest.CaptureFixture[str]) -> None:
    moment = here.after[0]
    audit.champion(None, history=False, at=moment, as_json=False)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"as of {moment[:10]} {moment[11:19]}Z"
    assert shown[1].startswith("toy version 1 is champion since")
    audit.champion(None, history=False, at=moment, as_json=True)
    assert json.loads(capsys.readouterr().out)["at"] == moment


def test_a_model_that_is_not_disjoint_has_an_exit_code_of_its_own(
    here: History, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.disjoint("toy/4", at=None, as_json=False) == audit.EXIT_NOT_DISJOINT == 3
    assert "train test drives log-b" in " ".join(capsys.readouterr().out.split())


def test_without_a_checkout_the_state_directory_will_do(
    here: History, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert audit.diff("toy/1", "toy/2", at=None, as_json=False) == 0
    assert "there is no checkout here" in " ".join(capsys.readouterr().out.split())
    monkeypatch.delenv("WORLDMODEL_STATE")
    with pytest.raises(WorkspaceError):
        audit.tombstones(at=None, as_json=False)


def test_before_anything_was_recorded_the_way_out_is_to_run(
    here: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path / "none"))
    with pytest.raises(RecordError, match=r"nothing is recorded yet(.|\n)*worldmodel run"):
        audit.champion(None, history=False, at=None, as_json=False)
    assert not (tmp_path / "none").exists()


def test_a_question_loads_neither_registry_nor_orchestrator_nor_networks(here: History) -> None:
    heavy = ("mlflow", "prefect", "torch", "pandas", "great_expectations")
    code = "\n".join(
        [
            "import sys",
            "from flows.commands import audit",
            "audit.champion(None, history=True, at=None, as_json=True)",
            "audit.trace('toy', logs=True, at=None, as_json=True)",
            "audit.impact('log-b', at=None, as_json=True)",
            "audit.validations('drives', at=None, as_json=True)",
            "audit.diff('toy/1', 'toy/3', at=None, as_json=True)",
            f"sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or 0)",
        ]
    )
    environ = {**environment(here), "PYTHONPATH": str(Path(audit.__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], cwd=here.root, env=environ, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
