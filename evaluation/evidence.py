"""What the gate must know beside the reports: who is asked about, and what was checked of how the model came to be.

Each part is null where it was not established, which never passes. Standard library and pydantic only.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from evaluation.base import Record, fingerprint

NO_CHAMPION = "none"


class Validation(Record):
    """The verdict of the stage `validate` on the data that the model was trained and measured on."""

    verdict: Literal["fit", "unfit"]
    sentence: str


class Splits(Record):
    """Training and measured logs of the prepared data; `shared` names logs that are in both."""

    n_training_logs: int = Field(ge=0)
    n_measured_logs: int = Field(ge=0)
    shared: tuple[str, ...] = ()


class PreparedData(Record):
    """What the prepared data themselves hold: every source, and (`clips_digest`) the clips that the report names."""

    sources: tuple[str, ...]
    clips_sha256: str


class Manifests(Record):
    """Whether every finished stage's output is what its manifest says: `broken` is stage -> what is wrong."""

    stages: tuple[str, ...]
    broken: dict[str, str] = Field(default_factory=dict)


class Performance(Record):
    """Speed and memory of one model on one machine; measured apart from the report, because no two runs agree.

    Attributes:
        model_sha256: which model.
        machine: processor, cores, threads and accelerator, in words.
        protocol: name of the preset whose clips were used.
        seconds_per_frame: of generated video, the median over repeats.
        seconds_per_clip: of reconstruction, the median over clips.
        gaussians_per_clip: mean.
        peak_memory_mib: of the measuring process.
        repeats: how many times each was taken.
    """

    model_sha256: str
    machine: str
    protocol: str
    seconds_per_frame: float | None = Field(default=None, gt=0)
    seconds_per_clip: float | None = Field(default=None, gt=0)
    gaussians_per_clip: float | None = Field(default=None, ge=0)
    peak_memory_mib: float = Field(gt=0)
    repeats: int = Field(ge=1)


class Evidence(Record):
    """Everything beside the reports.

    Attributes:
        candidate_sha256: digest of the bundle that is to be promoted.
        champion_sha256: of the one that serves, or `none` (`NO_CHAMPION`) where it was looked for and none does.
        dirty: whether the candidate's code held uncommitted changes.
    """

    candidate_sha256: str
    champion_sha256: str | None = None
    dirty: bool | None = None
    data: PreparedData | None = None
    validation: Validation | None = None
    splits: Splits | None = None
    manifests: Manifests | None = None
    performance: Performance | None = None


def clips_digest(clips: Iterable[tuple[str, str, str, str, str]]) -> str:
    """Digest of clips, each (id, log, source, split, sha256 of its content), in any order."""
    return fingerprint(sorted(list(clip) for clip in clips))
