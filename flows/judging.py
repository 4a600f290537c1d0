"""From a measured model to the gate's inputs: the champion's own measurement, their comparison, and the evidence.

A champion that was measured on other data or under another protocol is measured again, on the candidate's data under
the candidate's protocol, before anything is compared; without training, by `flows.bench`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.records import read_report
from evaluation.report import Report
from flows import registry
from worldmodel.data.atomic import atomic_directory
from worldmodel.errors import DataError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from evaluation.comparison import Comparison

EVALUATIONS = "evaluations"
REPORT_FILE, FEATURES_FOLDER = "report.json", "features"


@dataclass(frozen=True)
class Evaluated:
    """A report on disk, and the features beside it that its distances were taken of."""

    directory: Path
    report: Report


def evaluated(directory: Path) -> Evaluated | None:
    """The evaluation in a directory, or None where there is no readable one of this version."""
    try:
        return Evaluated(directory, read_report(directory / REPORT_FILE))
    except (OSError, DataError):
        return None


def recorded(client: "MlflowClient", state: Path, serving: registry.Champion) -> Evaluated | None:
    """The champion's evaluation as its own run left it in MLflow; None when that is gone or of another version."""
    from mlflow.exceptions import MlflowException

    kept = state / EVALUATIONS / f"run-{serving.report_run}"
    if not kept.is_dir():
        try:
            with atomic_directory(kept) as aside:
                for name in (REPORT_FILE, FEATURES_FOLDER):
                    found = client.list_artifacts(serving.report_run, "evaluate")
                    if any(entry.path == f"evaluate/{name}" for entry in found):
                        client.download_artifacts(serving.report_run, f"evaluate/{name}", str(aside))
                if (aside / "evaluate").is_dir():
                    for path in (aside / "evaluate").iterdir():
                        path.rename(aside / path.name)
                    (aside / "evaluate").rmdir()
        except (MlflowException, OSError):
            return None
    return evaluated(kept)


def comparable(candidate: Report, champion: Evaluated | None, champion_sha256: str) -> bool:
    """Whether the champion was measured as the candidate was: the same data under the same protocol."""
    if champion is None:
        return False
    report = champion.report
    return (
        report.model.sha256 == champion_sha256
        and report.data.sha256 == candidate.data.sha256
        and report.protocol_fingerprint == candidate.protocol_fingerprint
    )


def compared(candidate: Evaluated, champion: Evaluated) -> "Comparison | None":
    """The paired differences of two evaluations; None where they are not of the same data under the same protocol.

    A champion without one of the candidate's parts cannot be measured as the candidate was; the gate says what differs.
    """
    if not comparable(candidate.report, champion, champion.report.model.sha256):
        return None
    return differences(candidate, champion)


def differences(candidate: Evaluated, champion: Evaluated) -> "Comparison":
    """The paired differences of two evaluations.

    Raises:
        ProtocolMismatchError, DataError: they are under different protocols, or of other data; says what differs.
    """
    from evaluation.compare import compare

    return compare(
        candidate.report,
        champion.report,
        candidate.directory / FEATURES_FOLDER,
        champion.directory / FEATURES_FOLDER,
    )
