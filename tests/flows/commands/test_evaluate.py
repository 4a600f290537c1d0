"""The commands that measure and compare what is there already."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluation.base import fingerprint
from evaluation.protocols import PRESETS
from evaluation.records import write_record
from evaluation.report import Report
from flows.commands.evaluate import compare_two, evaluate_version, list_protocols
from flows.git import git
from flows.runs import Runs
from tests.evaluation.conftest import build_report
from worldmodel.errors import DataError, ProtocolMismatchError, RegistryError, WorkspaceError

Capture = pytest.CaptureFixture[str]
GOOD = {"image/psnr": [21.0, 22.0, 23.0, 24.0, 25.0], "image/ssim": [0.5, 0.6, 0.7, 0.8, 0.6]}
BAD = {"image/psnr": [19.0, 20.1, 21.2, 21.9, 22.8], "image/ssim": [0.5, 0.7, 0.6, 0.8, 0.6]}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without runs, as the working directory, and a registry without models."""
    monkeypatch.delenv("WORLDMODEL_STATE", raising=False)
    monkeypatch.setattr("flows.commands.evaluate.apply_defaults", lambda state: None)
    git(tmp_path, "init", "--quiet")
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    client = SimpleNamespace(search_model_versions=lambda query: [], search_registered_models=list)
    monkeypatch.setattr("flows.tracking.connect", lambda: client)
    return tmp_path


def put(path: Path, report: Report) -> str:
    write_record(path, report)
    return str(path)


def under(report: Report, name: str) -> Report:
    protocol = report.protocol.model_copy(update={"preset": PRESETS[name]})
    return report.model_copy(update={"protocol": protocol, "protocol_fingerprint": fingerprint(protocol)})


def test_two_reports_are_compared_clip_by_clip(tmp_path: Path, capsys: Capture) -> None:
    a = put(tmp_path / "a.json", build_report(sha256="a" * 64, synthetic=GOOD))
    b = put(tmp_path / "b.json", build_report(sha256="b" * 64, synthetic=BAD))
    assert compare_two(a, b, as_json=True) == 0
    verdicts = {d["metric"]: d["verdict"] for d in json.loads(capsys.readouterr().out)["differences"]}
    assert verdicts == {"image/psnr": "better", "image/ssim": "cannot tell"}
    assert compare_two(b, a, as_json=False) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("image/psnr, dB 21.0 23.0 -2.00 ") and line.endswith(" worse") for line in lines)


def test_a_directory_stands_for_the_report_in_it(tmp_path: Path, capsys: Capture) -> None:
    put(tmp_path / "report.json", build_report(synthetic=GOOD))
    assert compare_two(str(tmp_path), str(tmp_path / "report.json"), as_json=True) == 0
    assert {d["difference"] for d in json.loads(capsys.readouterr().out)["differences"]} == {0.0}


def test_reports_under_different_protocols_are_not_compared_and_the_field_is_named(tmp_path: Path) -> None:
    report = build_report(synthetic=GOOD)
    a, b = put(tmp_path / "a.json", report), put(tmp_path / "b.json", under(report, "own16"))
    with pytest.raises(ProtocolMismatchError) as caught:
        compare_two(a, b, as_json=False)
    assert "preset.name" in caught.value.got and "own16" in caught.value.got


def test_a_run_stands_for_its_report(checkout: Path, capsys: Capture) -> None:
    record = Runs(checkout / ".worldmodel").create("k" * 16, profile="toy", snapshot="", dirty=False, sources=[])
    evaluated = checkout / ".worldmodel" / "workspaces" / record.key / "artifacts" / "evaluate"
    with pytest.raises(DataError, match=r"evaluate/report\.json: no such report"):
        compare_two("latest", "latest", as_json=True)
    put(evaluated / "report.json", build_report(synthetic=GOOD))
    assert compare_two("latest", record.run_id, as_json=True) == 0
    assert len(json.loads(capsys.readouterr().out)["differences"]) == 2


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("nothing", DataError, "nothing: neither a report, nor a run, nor a model"),
        ("nothing/3", RegistryError, "nothing/3: no such model"),
        ("nothing.json", DataError, r"nothing\.json: no such report"),
    ],
)
def test_what_stands_for_nothing_is_refused(checkout: Path, name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        compare_two(name, name, as_json=False)


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"schema_version": "worldmodel.report/2"}')
    with pytest.raises(DataError, match="a report of another schema"):
        compare_two(str(tmp_path / "old.json"), str(tmp_path / "old.json"), as_json=False)


def test_a_version_whose_run_is_elsewhere_needs_a_run_that_is_here(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"worldmodel.model_sha256": "a" * 64, "worldmodel.run_id": "20200101-000000-abcdef01"}
    version = SimpleNamespace(name="model", version=1, tags=tags, run_id="r")
    client = SimpleNamespace(search_model_versions=lambda query: [version])
    monkeypatch.setattr("flows.tracking.connect", lambda: client)
    with pytest.raises(WorkspaceError, match="not among the runs here") as caught:
        evaluate_version("model", None, None, as_json=False)
    assert caught.value.got == tags["worldmodel.run_id"] and "--run RUN" in caught.value.fix


def test_protocols_are_listed_with_their_fingerprints(capsys: Capture) -> None:
    assert list_protocols(as_json=True) == 0
    listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {each["name"]: each["fingerprint"] for each in listed} == {n: p.fingerprint for n, p in PRESETS.items()}
    assert list_protocols(as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(each.fingerprint[:12] in line for line in lines) for each in PRESETS.values())
