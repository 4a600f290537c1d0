"""What is to be measured of which group of clips, with which networks: planned before anything is read.

Distances need `min_logs` logs on both sides, images of one size, and videos as long as the preset's window, which must
be as long as the video network asks for. A network is opened only where a group needs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluation.extractors.identity import check_metric_name
from evaluation.extractors.networks import Networks, PerceptualNetwork
from evaluation.generation.looking import Lenses, videos_to_look_at
from evaluation.generation.rollouts import RolloutMethod, Rollouts, RolloutSample
from evaluation.generation.spans import Span, every, spans_of
from evaluation.protocols import GenerationPreset


@dataclass
class Job:
    """One group of clips of a source and split.

    Attributes:
        generated: its clips.
        reference: as many clips of other logs of the source, or fewer where there are no more.
        no_distances: why no distance can be measured; None: it can.
        lenses: what its videos are looked at through.
    """

    generated: list[RolloutSample] = field(default_factory=list)
    reference: list[RolloutSample] = field(default_factory=list)
    no_distances: str | None = None
    lenses: Lenses = field(default_factory=Lenses)

    def cost(self, methods: Sequence[RolloutMethod]) -> int:
        """How many videos are looked at; the joint measures look at each generated clip once more."""
        n = len(self.generated)
        return n + videos_to_look_at(methods, self.lenses, n, len(self.reference))


def plan(rollouts: Rollouts, preset: GenerationPreset, networks: Networks) -> list[Job]:
    """Groups by (same log, source, split), held-out ones first; clips keep their order."""
    jobs: dict[tuple[bool, str, str], Job] = {}
    for sample in rollouts.index.samples:
        if sample.role == "generated":
            jobs.setdefault((sample.same_log, sample.source, sample.split), Job()).generated.append(sample)
    spans = spans_of(preset, rollouts.index.frames)
    for (_, source, _), job in jobs.items():
        logs = {sample.log_id for sample in job.generated}
        candidates = [s for s in rollouts.index.samples if s.role == "reference" and s.source == source]
        job.reference = [s for s in candidates if s.log_id not in logs][: len(job.generated)]
        job.no_distances = _why_not(rollouts, job, preset, spans, networks)
        job.lenses = _lenses(preset, spans if job.no_distances is None else [], networks, rollouts.index.frames)
    return [job for _, job in sorted(jobs.items(), key=lambda item: item[0])]


def _lenses(preset: GenerationPreset, spans: Sequence[Span], networks: Networks, frames: int) -> Lenses:
    wants_images = any(span.images(preset.image_stride) for span in spans)
    return Lenses(
        spans=spans,
        video=networks.videos(preset.preprocess) if spans else None,
        images=networks.images() if wants_images else None,
        image_stride=preset.image_stride,
        lpips=_lpips(preset, networks) if every(preset.lpips_stride, 1, frames - 1) else None,
        lpips_stride=preset.lpips_stride,
    )


def _lpips(preset: GenerationPreset, networks: Networks) -> PerceptualNetwork | None:
    if preset.lpips is None:
        return None
    network = networks.lpips(preset.lpips)
    check_metric_name(f"video/lpips@lpips-{preset.lpips}", network.identity)
    return network


def _why_not(
    rollouts: Rollouts, job: Job, preset: GenerationPreset, spans: Sequence[Span], networks: Networks
) -> str | None:
    """Why the distances of a group cannot be measured, None when they can."""
    for kind, samples in (("generated", job.generated), ("reference", job.reference)):
        n = len({sample.log_id for sample in samples})
        if n < preset.min_logs:
            logs = "log" if n == 1 else "logs"
            return f"{n} {logs} of {kind} clips, and a distance needs {preset.min_logs}: no FVD claim"
    if not spans:
        given = "with" if preset.given_counts else "after"
        return (
            f"videos of {rollouts.index.frames} frames, and the protocol measures {preset.window} {given} the given one"
        )
    needed = networks.videos(preset.preprocess).min_frames
    if preset.window < needed:
        return f"the protocol measures {preset.window} frames at a time, and the video network needs {needed}"
    sizes = {rollouts.size(sample) for sample in (*job.generated, *job.reference)}
    if len(sizes) > 1:
        found = " and ".join(f"{height}x{width}" for height, width in sorted(sizes))
        return f"clips of {found} pixels, and a distance needs one size"
    return None
