"""The verdict file: what training depends on. Standard library only, so that any stage can afford to ask."""

import json
from pathlib import Path
from typing import Any

from worldmodel.errors import UnfitDataError

VERDICT_SCHEMA = "worldmodel.verdict/1"

Verdict = dict[str, Any]


def require_fit(path: Path) -> Verdict:
    """The verdict at `path`, if it says that the data are fit.

    Raises:
        UnfitDataError: the verdict is missing, unreadable, of another schema, or anything but a success.
    """
    fix = "run the validate stage (`worldmodel run --until validate`) and mend what it names"
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnfitDataError(f"{path}: no readable verdict on the data", got=str(error), fix=fix) from error
    schema = verdict.get("schema_version") if isinstance(verdict, dict) else None
    if schema != VERDICT_SCHEMA:
        raise UnfitDataError(f"{path}: not a verdict", expected=VERDICT_SCHEMA, got=repr(schema), fix=fix)
    if verdict.get("success") is not True:
        failures = "\n".join(describe_failures(verdict)) or repr(verdict.get("success"))
        raise UnfitDataError(f"{path}: the data are unfit", expected="success: true", got=failures, fix=fix)
    return dict(verdict)


def describe_failures(verdict: Verdict) -> list[str]:
    """One line for each expectation that was not met: suite, check, column, how many, which clips."""
    lines = [f"{name}: {text}" for name, text in sorted(verdict.get("errors", {}).items())]
    for suite in verdict.get("suites", []):
        for result in suite["expectations"]:
            if result["success"] is True:
                continue
            line = f"{suite['name']}.{result['column']}: {result['check']} ({result['type']})"
            if result.get("exception"):
                line += f": {result['exception']}"
            elif result["clips"]:
                more = ", ..." if result["unexpected_count"] > len(result["clips"]) else ""
                line += f": {result['unexpected_count']} of {result['observed']['checked']}: "
                line += ", ".join(result["clips"]) + more
            lines.append(line)
    return lines
