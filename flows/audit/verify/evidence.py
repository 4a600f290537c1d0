"""What is put before the verifier: a ledger's entries, its signed heads, the records, and the places they speak of.

A state directory and an unpacked evidence pack both give one. What a pack does not hold (bodies of entries that are not
its business, runs of other models, large files) is left out in the open: it is listed here, and is not missing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from evaluation.base import Record
from flows.audit.finding import Finding
from flows.ledger.entry import Entry
from flows.lineage.records import Records

if TYPE_CHECKING:
    from flows.ledger.anchors import Anchor


@dataclass(frozen=True)
class Workspace:
    """A folder laid out as a run's workspace: `artifacts/<stage>/` with its manifest, `params.yaml`, `dvc.lock`.

    Attributes:
        folder: where it is.
        run_ids: the runs that worked there, oldest first; what is there has to be of one of them, file by file.
        unrecorded: why it may hold what no record knows yet (a run is at work, or was killed), else empty.
        partial: whether files may be left out; never whether they may differ.
    """

    folder: Path
    run_ids: tuple[str, ...]
    unrecorded: str = ""
    partial: bool = False


@dataclass(frozen=True)
class HeldVersion:
    """A registered version as the registry has it; `model_sha256` is its tag, empty where it has none."""

    version: str
    model_sha256: str


class Registry(Protocol):
    """What the verifier asks of a model registry; each raises RegistryError where it does not answer."""

    def champion(self, name: str) -> str | None:
        """The version under the alias `champion`."""

    def versions(self, name: str) -> list[HeldVersion]:
        """Every version of a name; none where there is no such name."""

    def damage(self, name: str, version: str) -> str:
        """What is wrong with the bytes that a version holds; empty if they are what was registered."""


@dataclass(frozen=True)
class Evidence:
    """All that a verdict follows from; a place that is None is not looked at.

    Attributes:
        entries: of the ledger, in its order; a body may be None where a pack leaves it out.
        anchors: signed heads, with where each was found.
        records: of the runs.
        runs: the runs whose records must be here; None: every run that the ledger names, and every entry's body.
        at_work: runs that have not ended yet, and may be about to leave their records.
        left_out: sha256 of records that are left out on purpose.
        workspaces: stages' outputs on disk.
        checkout: whose git refs hold what was recorded.
        state: the state directory, below which tombstones name paths.
        cache: DVC's objects by md5 (`<cache>/files/md5`).
        registry: the model registry.
        ledger_id: which ledger this is said to be; None: the one that most anchors agree with.
        notes: what could not be put before the verifier, and why.
    """

    entries: Iterable[Entry]
    anchors: "Iterable[Anchor]"
    records: Records
    runs: frozenset[str] | None = None
    at_work: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    workspaces: tuple[Workspace, ...] = ()
    checkout: Path | None = None
    state: Path | None = None
    cache: Path | None = None
    registry: Registry | None = None
    ledger_id: str | None = None
    notes: "tuple[Note, ...]" = ()


class Checked(Record):
    """How many things of one sort were checked, how many findings they gave, and how long it took."""

    what: str
    count: int
    findings: int
    seconds: float


class Note(Record):
    """Something that could not be checked, or that is worth knowing; no fault in itself."""

    where: str
    sentence: str


@dataclass
class Verdict:
    """What was checked, what was found, and what could not be checked."""

    checked: list[Checked] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings
