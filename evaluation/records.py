"""Reading and writing reports, decisions and what they follow from as files, with errors that say what to do."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from evaluation.base import Record
from evaluation.comparison import COMPARISON_SCHEMA, Comparison
from evaluation.decision import DECISION_SCHEMA, INPUTS_SCHEMA, Decision, GateInputs
from evaluation.report import REPORT_SCHEMA, Report
from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError

AnyRecord = TypeVar("AnyRecord", bound=Record)


def read_report(path: Path) -> Report:
    """The report in a file.

    Raises:
        DataError: missing, not JSON, of another schema version, or contradicting itself.
    """
    return _read(path, Report, REPORT_SCHEMA)


def read_decision(path: Path) -> Decision:
    """The decision in a file; raises like `read_report`."""
    return _read(path, Decision, DECISION_SCHEMA)


def read_gate_inputs(path: Path) -> GateInputs:
    """What a decision followed from; raises like `read_report`."""
    return _read(path, GateInputs, INPUTS_SCHEMA)


def read_comparison(path: Path) -> Comparison:
    """The comparison in a file; raises like `read_report`."""
    return _read(path, Comparison, COMPARISON_SCHEMA)


def write_record(path: Path, record: Record) -> None:
    """Writes any of them as indented JSON with sorted keys: aside first, then renamed."""
    text = json.dumps(record.model_dump(mode="json"), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as file:
        file.write(f"{text}\n".encode())


def _read(path: Path, kind: type[AnyRecord], schema: str) -> AnyRecord:
    name = {"GateInputs": "gate inputs file"}.get(kind.__name__, kind.__name__.lower())
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such {name}", fix="run the pipeline to its end: worldmodel run") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable {name}", expected="JSON", got=str(error)) from None
    found = raw.get("schema_version") if isinstance(raw, dict) else None
    if found != schema:
        raise DataError(
            f"{path}: a {name} of another schema",
            expected=f"schema_version {schema}",
            got=repr(found),
            fix="evaluate the model again with this version of the code",
        )
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(whole file)"
        raise DataError(f"{path}: not a valid {name}", got=f"{where}: {first['msg']}", fix="evaluate again") from None
