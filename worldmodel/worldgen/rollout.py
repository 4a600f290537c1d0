"""Which held-out samples are generated, by which methods, and from which weights. Light: no torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from worldmodel.worldgen.config import Method, RolloutConfig
from worldmodel.worldgen.generator_files import Sampler
from worldmodel.worldgen.samples import SampleRow

Role = Literal["generated", "reference"]
STUDENT: Method = "dmd"
_SAME_LOG = "its source has no held-out log: training reads other frames of this one"


class Recipe(NamedTuple):
    """A method: the stage whose weights it takes, and how it samples from them."""

    stage: str
    sampler: Sampler


RECIPES: Mapping[Method, Recipe] = {
    "bidirectional": Recipe("worldgen_bidirectional", "full"),
    "bidirectional_causal": Recipe("worldgen_bidirectional", "causal"),
    "teacher_forcing": Recipe("worldgen_teacher_forcing", "causal"),
    "teacher_forcing_4step": Recipe("worldgen_teacher_forcing", "few_step"),
    "ode": Recipe("worldgen_ode_distillation", "few_step"),
    "dmd": Recipe("worldgen_dmd", "few_step"),
}


@dataclass(frozen=True)
class Choice:
    """Samples to generate, samples of other logs to compare them with, and those left out with the reason."""

    generated: list[SampleRow]
    reference: list[SampleRow]
    left_out: list[dict[str, str]]


def choose(rows: Sequence[SampleRow], config: RolloutConfig) -> Choice:
    """Samples of the split, of each source: first one of every log, then a second, ...; beside them as many training
    samples of other logs and the same cameras, chosen alike. What is left out has its reason: same-log samples
    do, for they cannot say how a model continues an unseen log."""
    generated: list[SampleRow] = []
    reference: list[SampleRow] = []
    left_out: list[dict[str, str]] = []
    for source in sorted({row.source for row in rows}):
        of_source = [row for row in rows if row.source == source]
        wanted = config.cameras.get(source)
        held_out = [row for row in of_source if row.split == config.split]
        refused = {row.sample_id: reason for row in held_out if (reason := _refused(row, wanted))}
        usable = _by_turns([row for row in held_out if row.sample_id not in refused])
        generated += usable[: config.max_samples]
        reasons = {row.sample_id: f"max_samples is {config.max_samples}" for row in usable[config.max_samples :]}
        for sample_id, reason in sorted({**refused, **reasons}.items()):
            left_out.append({"sample_id": sample_id, "source": source, "reason": reason})
        reference += _others(of_source, usable[: config.max_samples])
    return Choice(generated, reference, left_out)


def _refused(row: SampleRow, cameras: Sequence[str] | None) -> str:
    """Why a held-out sample is not generated, whatever their number; empty if it can be."""
    if cameras is not None and row.camera not in cameras:
        return f"camera {row.camera} is not asked for"
    return _SAME_LOG if row.same_log else ""


def _others(rows: Sequence[SampleRow], generated: Sequence[SampleRow]) -> list[SampleRow]:
    """As many training samples, of other logs and the same cameras."""
    cameras = {row.camera for row in generated}
    logs = {row.log_id for row in generated}
    train = [row for row in rows if row.split == "train" and row.camera in cameras and row.log_id not in logs]
    return _by_turns(train)[: len(generated)]


def _by_turns(rows: Sequence[SampleRow]) -> list[SampleRow]:
    """Each log's first row, then each log's second, ...; the n-th log starts with its n-th camera."""
    by_log: dict[str, list[SampleRow]] = {}
    for row in rows:
        by_log.setdefault(row.log_id, []).append(row)
    turned = [enumerate(_from_camera(own, number)) for number, own in enumerate(by_log.values())]
    placed = [(place, row) for own in turned for place, row in own]
    return [row for _, row in sorted(placed, key=lambda item: item[0])]


def _from_camera(rows: Sequence[SampleRow], number: int) -> list[SampleRow]:
    """By start, and among equal starts with camera `number` of the log first."""
    cameras = list(dict.fromkeys(row.camera for row in rows))
    order = {camera: (place - number) % len(cameras) for place, camera in enumerate(cameras)}
    return sorted(rows, key=lambda row: (row.start, order[row.camera]))
