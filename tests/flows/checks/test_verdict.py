import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.checks.verdict import VERDICT_SCHEMA, describe_failures, require_fit
from worldmodel.errors import UnfitDataError

FIT: dict[str, Any] = {"schema_version": VERDICT_SCHEMA, "success": True, "suites": [], "errors": {}}
BAD_EXPECTATION = {
    "check": "no time gap",
    "type": "expect_column_values_to_be_between",
    "column": "longest_step",
    "success": False,
    "observed": {"checked": 9},
    "unexpected_count": 3,
    "clips": ["a", "b"],
    "exception": None,
}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_a_fit_verdict_is_returned(tmp_path: Path) -> None:
    assert require_fit(write(tmp_path / "verdict.json", FIT)) == FIT


@pytest.mark.parametrize("success", [False, None, 1, "true"])
def test_anything_but_true_is_refused(success: Any, tmp_path: Path) -> None:
    with pytest.raises(UnfitDataError, match="unfit"):
        require_fit(write(tmp_path / "verdict.json", FIT | {"success": success}))


def test_a_missing_a_broken_and_a_foreign_verdict_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    with pytest.raises(UnfitDataError, match="--until validate"):
        require_fit(path)
    path.write_text('{"success": true')
    with pytest.raises(UnfitDataError, match="no readable verdict"):
        require_fit(path)
    for foreign in ([], {"success": True}, FIT | {"schema_version": "worldmodel.verdict/2"}):
        with pytest.raises(UnfitDataError, match="not a verdict"):
            require_fit(write(path, foreign))


def test_a_failure_is_described_with_its_column_and_clips(tmp_path: Path) -> None:
    suites = [{"name": "clips", "expectations": [BAD_EXPECTATION, {**BAD_EXPECTATION, "success": True}]}]
    verdict = FIT | {"success": False, "suites": suites, "errors": {"splits": "KeyError: 'x'"}}
    assert describe_failures(verdict) == [
        "splits: KeyError: 'x'",
        "clips.longest_step: no time gap (expect_column_values_to_be_between): 3 of 9: a, b, ...",
    ]
    with pytest.raises(UnfitDataError, match=r"clips\.longest_step"):
        require_fit(write(tmp_path / "verdict.json", verdict))


def test_asking_imports_nothing_heavy() -> None:
    code = "import sys, flows.checks.verdict, flows.checks.config; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"great_expectations", "pandas", "numpy", "torch", "prefect", "mlflow"} & set(loaded)
