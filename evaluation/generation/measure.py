"""Measures generated videos: rollouts and true frames in, the `generation` part of a report and features out.

Groups are clips of one source and split. Each has PSNR, LPIPS where the preset asks for it, and the joint measures;
what distances need is in `jobs`. The same inputs give the same numbers.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.extractors.identity import ExtractorIdentity
from evaluation.extractors.networks import Networks
from evaluation.generation.assembly import GroupParts, assemble
from evaluation.generation.features import GroupFeatures
from evaluation.generation.jobs import plan
from evaluation.generation.joint import joint_metrics
from evaluation.generation.looking import look
from evaluation.generation.recipes import recipes
from evaluation.generation.rollouts import Rollouts, methods_of
from evaluation.generation_report import GenerationGroup, GenerationProtocol
from evaluation.protocols import GenerationPreset
from evaluation.report import NotApplicable, Statistics
from evaluation.slices import Slicing
from worldmodel.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Generation:
    """What was found.

    Attributes:
        groups: the part of the report.
        protocol: how long and fast the videos are.
        data_sha256: of the clips behind them.
        extractors: every network that was used, by id.
        features: that distances of the first window were taken of; `features.write_features` keeps them.
        not_applicable: what was left out, and why.
    """

    groups: tuple[GenerationGroup, ...]
    protocol: GenerationProtocol
    data_sha256: str
    extractors: tuple[ExtractorIdentity, ...] = ()
    features: tuple[GroupFeatures, ...] = ()
    not_applicable: tuple[NotApplicable, ...] = ()


def measure_generation(
    rollouts: Rollouts,
    preset: GenerationPreset,
    slicing: Slicing,
    statistics: Statistics,
    networks: Networks,
    progress: Progress = lambda done, total: None,
) -> Generation:
    """Measures every group of generated clips.

    Args:
        rollouts: the videos and the clips behind them.
        preset: how they are measured.
        slicing: which slices their clips are in.
        statistics: of the intervals.
        networks: each is opened only when a group needs it.
        progress: called with the videos looked at and those to look at.

    Raises:
        DataError: videos that are missing, damaged, not of these clips, or of another rate than the preset's.
        MissingDependencyError: a network is needed and its weights are not there.
    """
    index, methods = rollouts.index, methods_of(rollouts.index)
    if index.rate_hz != preset.rate_hz:
        raise DataError(
            "generated videos are of another rate than the protocol's",
            expected=f"rate_hz {preset.rate_hz:g}",
            got=f"rate_hz {index.rate_hz:g}",
            fix="set train_tokenizer.rate_hz to it, or measure under another protocol",
        )
    jobs = plan(rollouts, preset, networks)
    tick = _Ticker(progress, sum(job.cost(methods) for job in jobs))
    groups, features, left_out = [], [], []
    for job in jobs:
        seen = look(rollouts, methods, (job.generated, job.reference), job.lenses, tick)
        joint = joint_metrics(rollouts, methods, job.generated, tick)
        parts = GroupParts(
            generated=job.generated,
            reference=job.reference,
            methods=methods,
            seen=seen,
            spans=job.lenses.spans,
            recipes=recipes(*job.lenses.of_distances),
            joint=joint.values,
            no_distances=job.no_distances,
        )
        group = assemble(parts, index.rate_hz, slicing, statistics)
        groups.append(group)
        features += [GroupFeatures(group.source, group.split, tables) for tables in seen.tables[:1]]
        left_out += _not_measured(group, joint.left_out)
    used = {identity.id: identity for job in jobs for identity in job.lenses.identities}
    return Generation(
        groups=tuple(groups),
        protocol=GenerationProtocol(measured_frames=index.frames - 1, rate_hz=index.rate_hz),
        data_sha256=rollouts.digest(index.samples),
        extractors=tuple(used[name] for name in sorted(used)),
        features=tuple(features),
        not_applicable=(*left_out, *_not_generated(rollouts, groups)),
    )


def _not_measured(group: GenerationGroup, joint: dict[str, dict[str, list[str]]]) -> list[NotApplicable]:
    """What could not be measured of videos that are there."""
    place, found = {"stage": "rollout", "source": group.source}, []
    if group.no_distances is not None:
        what = f"FVD and KVD of videos, FID and KID of their frames on {group.source}"
        found.append(NotApplicable(what=what, reason=group.no_distances, **place))
    elif group.n_reference_clips < group.n_clips:
        reason = f"{group.n_reference_clips} clips of other logs for {group.n_clips} generated ones"
        found.append(NotApplicable(what=f"as many reference clips on {group.source}", reason=reason, **place))
    for metric_id, reasons in sorted(joint.items()):
        for reason, samples in sorted(reasons.items()):
            what = f"{metric_id} of {_clips(len(samples))} of {group.source}"
            found.append(NotApplicable(what=what, reason=reason, **place))
    return found


def _not_generated(rollouts: Rollouts, groups: Sequence[GenerationGroup]) -> list[NotApplicable]:
    """What was never generated."""
    left_out = rollouts.index.left_out
    found = [NotApplicable(what=f"method {entry.method}", reason=entry.reason) for entry in left_out if entry.method]
    clips = Counter((entry.source or "", entry.reason) for entry in left_out if entry.method is None)
    for (source, reason), n in sorted(clips.items()):
        what = f"videos from {_clips(n, 'held-out ')}" + (f" of {source}" if source else "")
        found.append(NotApplicable(what=what, reason=reason, stage="rollout", source=source or None))
    if not groups:
        found.append(NotApplicable(what="generated videos", reason="rollout generated none of a held-out clip"))
    return found


def _clips(n: int, kind: str = "") -> str:
    return f"{n} {kind}{'clip' if n == 1 else 'clips'}"


class _Ticker:
    """Counts clips and reports them."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)
