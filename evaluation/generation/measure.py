"""Measures generated videos: rollouts and true frames in, the `generation` part of a report out.

Groups are clips of one source and split. Each has PSNR; distances need `min_logs` logs on both sides, and clips as long
as the feature network asks for. The network is opened only when a group needs it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evaluation.config import GenerationConfig
from evaluation.generation.assembly import GroupParts, assemble
from evaluation.generation.distances import pairs_by_metric, passes
from evaluation.generation.network import FeatureNetwork
from evaluation.generation.psnr import psnr_curves
from evaluation.generation.rollouts import RolloutMethod, Rollouts, RolloutSample, methods_of
from evaluation.generation_report import GenerationGroup, GenerationProtocol
from evaluation.report import NotApplicable, Statistics

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Generation:
    """What was found: groups, how they were measured, the digest of the data behind them, and what was left out."""

    groups: tuple[GenerationGroup, ...]
    protocol: GenerationProtocol
    data_sha256: str
    not_applicable: tuple[NotApplicable, ...]


@dataclass
class _Job:
    """One group before it is measured."""

    generated: list[RolloutSample] = field(default_factory=list)
    reference: list[RolloutSample] = field(default_factory=list)
    no_distances: str | None = None


def measure_generation(
    rollouts: Rollouts,
    config: GenerationConfig,
    statistics: Statistics,
    network: FeatureNetwork,
    progress: Progress = lambda done, total: None,
) -> Generation:
    """Measures every group of generated clips.

    Args:
        rollouts: the videos and the clips behind them.
        config: when distances are measured.
        statistics: of the intervals.
        network: the feature network; opened only when a group has enough logs.
        progress: called with the clips looked at and those to look at.

    Raises:
        DataError: videos that are missing, damaged or not of these clips.
        MissingDependencyError: distances are to be measured and the network's weights are not there.
    """
    index, methods = rollouts.index, methods_of(rollouts.index)
    jobs = _jobs(rollouts, config, network.min_frames)
    tick = _Ticker(progress, sum(_cost(job, methods) for job in jobs.values()))
    needed = any(job.no_distances is None for job in jobs.values())
    features = network.open() if needed else None
    groups = []
    for job in jobs.values():
        curves = psnr_curves(rollouts, methods, job.generated, tick)
        pairs = {}
        if job.no_distances is None and features is not None:
            pairs = pairs_by_metric(rollouts, methods, job.generated, job.reference, features, tick)
        parts = GroupParts(job.generated, job.reference, methods, curves, pairs, job.no_distances)
        groups.append(assemble(parts, index.rate_hz, statistics))
    return Generation(
        groups=tuple(groups),
        protocol=GenerationProtocol(
            measured_frames=index.frames - 1,
            rate_hz=index.rate_hz,
            min_logs=config.min_logs,
            extractor=None if features is None else features.identity,
        ),
        data_sha256=rollouts.digest(index.samples),
        not_applicable=tuple(_left_out(rollouts, groups)),
    )


def _jobs(rollouts: Rollouts, config: GenerationConfig, min_frames: int) -> dict[tuple[bool, str, str], _Job]:
    """Groups by (same log, source, split), held-out ones first; clips keep their order."""
    jobs: dict[tuple[bool, str, str], _Job] = {}
    for sample in rollouts.index.samples:
        if sample.role == "generated":
            jobs.setdefault((sample.same_log, sample.source, sample.split), _Job()).generated.append(sample)
    for (_, source, _), job in jobs.items():
        logs = {sample.log_id for sample in job.generated}
        candidates = [s for s in rollouts.index.samples if s.role == "reference" and s.source == source]
        job.reference = [s for s in candidates if s.log_id not in logs]
        job.no_distances = _why_not(job, config.min_logs, rollouts.index.frames - 1, min_frames)
    return dict(sorted(jobs.items()))


def _why_not(job: _Job, min_logs: int, frames: int, min_frames: int) -> str | None:
    """Why the distances of a group cannot be measured, None when they can."""
    for kind, samples in (("generated", job.generated), ("reference", job.reference)):
        n = len({sample.log_id for sample in samples})
        if n < min_logs:
            return f"{n} {'log' if n == 1 else 'logs'} of {kind} clips, and a distance needs {min_logs}: no FVD claim"
    if frames < min_frames:
        return f"{frames} frames after the given one, and the feature network needs {min_frames}"
    return None


def _cost(job: _Job, methods: Sequence[RolloutMethod]) -> int:
    """How many clips measuring a group looks at."""
    n = len(job.generated)
    return n if job.no_distances is not None else n + passes(methods, n, len(job.reference))


def _left_out(rollouts: Rollouts, groups: Sequence[GenerationGroup]) -> list[NotApplicable]:
    found = []
    for group in groups:
        if group.no_distances is not None:
            what = f"FVD and KVD of videos on {group.source}"
            found.append(NotApplicable(what=what, reason=group.no_distances, stage="rollout", source=group.source))
    left_out = rollouts.index.left_out
    found += [NotApplicable(what=f"method {entry.method}", reason=entry.reason) for entry in left_out if entry.method]
    clips = Counter((entry.source or "", entry.reason) for entry in left_out if entry.method is None)
    for (source, reason), n in sorted(clips.items()):
        what = f"videos from {n} held-out {'clip' if n == 1 else 'clips'}" + (f" of {source}" if source else "")
        found.append(NotApplicable(what=what, reason=reason, stage="rollout", source=source or None))
    if not groups:
        found.append(NotApplicable(what="generated videos", reason="rollout generated none of a held-out clip"))
    return found


class _Ticker:
    """Counts clips and reports them."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)
