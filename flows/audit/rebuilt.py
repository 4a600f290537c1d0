"""What came of making a model again: each output against its signed record, and what could explain a difference."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from evaluation.base import Record
from flows.manifest import MANIFEST_FILE, file_sha256, read_manifest

if TYPE_CHECKING:
    from evaluation.comparison import Comparison

Verdict = Literal["identical", "identical_so_far", "within_measurement", "different"]
EXIT_DIFFERENT = 3
_CANNOT_TELL = "cannot tell"


class FileDifference(Record):
    """A file that is not what was recorded: sha256 on either side, None where there is no such file."""

    path: str
    recorded: str | None
    rebuilt: str | None


class FactDifference(Record):
    """A fact of the surroundings, or a package's version, where the output was recorded and here."""

    fact: str
    recorded: str | None
    here: str | None


class StageRebuilt(Record):
    """One stage made again. `recorded` and `rebuilt` are sha256 of its manifest.

    Attributes:
        seconds: it took now; None: an earlier call had finished it.
        seconds_recorded: it took when it was recorded; None: not known.
        files: that differ, weights among them; empty where all is as recorded.
    """

    stage: str
    recorded: str
    rebuilt: str
    seconds: float | None
    seconds_recorded: float | None
    files: tuple[FileDifference, ...]

    @property
    def identical(self) -> bool:
        """Whether every file is, byte for byte, what was recorded."""
        return self.recorded == self.rebuilt and not self.files


class Measured(Record):
    """How the rebuilt model measures against the recorded one: paired differences on the same clips.

    Attributes:
        compared: differences there are.
        judged: those with an interval.
        told_apart: names of those whose interval leaves out zero, with their verdict.
        left_out: what was measured and could not be compared.
        why_not: why nothing was compared.
    """

    compared: int = 0
    judged: int = 0
    told_apart: dict[str, str] = Field(default_factory=dict)
    left_out: int = 0
    why_not: str | None = None

    @property
    def within(self) -> bool:
        """Whether there were intervals, and none of them tells the two models apart."""
        return self.judged > 0 and not self.told_apart


class Rebuilt(Record):
    """A model made again from the records of its run.

    Attributes:
        rebuilt_sha256: digest of the bundle; None where not all of its stages were to be made.
        surroundings: what differs between where the first differing stage was recorded and here, packages included.
        surroundings_known: False: where that stage was made is in no record.
        measured: None where nothing had to be measured.
        workspace: where it was made, if that was kept.
    """

    name: str
    version: str
    run_id: str
    model_sha256: str
    rebuilt_sha256: str | None
    stages: tuple[StageRebuilt, ...]
    surroundings: tuple[FactDifference, ...] = ()
    surroundings_known: bool = True
    measured: Measured | None = None
    workspace: str | None = None

    @property
    def first_difference(self) -> StageRebuilt | None:
        """The first stage whose output differs; those behind it were made from it."""
        return next((stage for stage in self.stages if not stage.identical), None)

    @property
    def verdict(self) -> Verdict:
        """What it amounts to."""
        if self.first_difference is None and self.rebuilt_sha256 is None:
            return "identical_so_far"
        if self.first_difference is None and self.rebuilt_sha256 == self.model_sha256:
            return "identical"
        return "within_measurement" if self.measured is not None and self.measured.within else "different"

    @property
    def exit_code(self) -> int:
        """0, or 3 where the model is another one as far as can be measured."""
        return EXIT_DIFFERENT if self.verdict == "different" else 0

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict == "identical":
            return f"rebuilt, identical: {len(self.stages)} stages and the model, byte for byte"
        if self.verdict == "identical_so_far":
            return f"identical so far: {len(self.stages)} stages, byte for byte"
        if self.verdict == "within_measurement":
            assert self.measured is not None
            return f"not identical, within measurement: none of {self.measured.judged} intervals tells the two apart"
        return f"not identical: {self._why_different()}"

    def _why_different(self) -> str:
        if self.measured is None:
            return "not all stages were made, so nothing was measured"
        if self.measured.told_apart:
            return f"{len(self.measured.told_apart)} of {self.measured.judged} intervals tell the two apart"
        return self.measured.why_not or "no difference has an interval, so nothing can be told"


def stage_rebuilt(
    workspace: Path,
    stage: str,
    subjects: Mapping[str, str],
    manifest: Mapping[str, Any],
    seconds: tuple[float | None, float | None],
) -> StageRebuilt:
    """Compares an output with its signed record.

    Args:
        workspace: where it was made again.
        stage: which one; its output is complete.
        subjects: sha256 by path below the workspace, as signed: the manifest and the weights.
        manifest: the recorded manifest, as JSON.
        seconds: that it took now, and when it was recorded.

    Raises:
        DataError: there is no finished output.
    """
    folder, prefix = workspace / "artifacts" / stage, f"artifacts/{stage}/"
    recorded = {name: str(file["sha256"]) for name, file in manifest["files"].items()}
    rebuilt = {name: str(file["sha256"]) for name, file in read_manifest(folder)["files"].items()}
    for path, sha256 in subjects.items():  # a weight is what its bytes are, whatever manifests say
        name = path.removeprefix(prefix)
        if name != MANIFEST_FILE:
            recorded[name] = sha256
            if (folder / name).is_file():
                rebuilt[name] = file_sha256(folder / name)
    names = sorted(name for name in {*recorded, *rebuilt} if recorded.get(name) != rebuilt.get(name))
    return StageRebuilt(
        stage=stage,
        recorded=subjects[prefix + MANIFEST_FILE],
        rebuilt=file_sha256(folder / MANIFEST_FILE),
        seconds=seconds[0],
        seconds_recorded=seconds[1],
        files=tuple(FileDifference(path=n, recorded=recorded.get(n), rebuilt=rebuilt.get(n)) for n in names),
    )


def fact_differences(
    recorded: Mapping[str, str], here: Mapping[str, str], prefix: str = ""
) -> tuple[FactDifference, ...]:
    """The facts that differ, by name; `prefix` goes before it."""
    return tuple(
        FactDifference(fact=prefix + name, recorded=recorded.get(name), here=here.get(name))
        for name in sorted({*recorded, *here})
        if recorded.get(name) != here.get(name)
    )


def measured(comparison: "Comparison") -> Measured:
    """What a comparison of the rebuilt model with the recorded one amounts to."""
    return Measured(
        compared=len(comparison.differences),
        judged=sum(difference.ci95 is not None for difference in comparison.differences),
        told_apart={d.name: d.verdict for d in comparison.differences if d.verdict != _CANNOT_TELL},
        left_out=len(comparison.left_out),
    )
