"""From scores of clips to a report's groups: means over clips, intervals over logs, baselines on the same images."""

import math
from collections.abc import Sequence

from evaluation.generation_report import TRUE_FRAMES
from evaluation.metrics.catalogue import METRICS, PSNR, MetricSpec
from evaluation.report import NEAREST, ORACLE, Baseline, ClipValue, Group, Metric, NotApplicable, Statistics
from evaluation.scoring import ClipScores
from evaluation.statistics import interval_over_logs, mean_over_clips, why_no_interval

REGIONS = ("all", "static", "dynamic", "non-sky")
BASELINES = (NEAREST, ORACLE, TRUE_FRAMES)


def group_clips(scores: Sequence[ClipScores], statistics: Statistics) -> list[Group]:
    """Groups by (source, split, same log), held-out ones first; clips keep their order."""
    found: dict[tuple[bool, str, str], list[ClipScores]] = {}
    for clip in scores:
        found.setdefault((clip.entry.same_log, clip.entry.source, clip.entry.split), []).append(clip)
    return [_group(found[key], statistics) for key in sorted(found)]


def not_applicable(scores: Sequence[ClipScores]) -> list[NotApplicable]:
    """What could not be measured on which source, with how many clips each reason concerns."""
    found: dict[tuple[str, str, str], int] = {}
    for clip in scores:
        for what, reason in clip.not_applicable.items():
            key = (clip.entry.source, what, reason)
            found[key] = found.get(key, 0) + 1
    return [
        NotApplicable(what=f"{what} on {source}", reason=f"{reason} ({n} {'clip' if n == 1 else 'clips'})")
        for (source, what, reason), n in sorted(found.items())
    ]


def _group(scores: list[ClipScores], statistics: Statistics) -> Group:
    entry = scores[0].entry
    metrics = [_metric(spec, region, scores, statistics) for region in REGIONS for spec in METRICS.values()]
    found = tuple(metric for metric in metrics if metric is not None)
    psnr = next((m for m in found if (m.id, m.region) == (PSNR.id, "all")), None)
    beats, sentence = _sentence(psnr, entry.source, entry.split, entry.same_log)
    return Group(
        source=entry.source,
        split=entry.split,
        same_log=entry.same_log,
        n_clips=len(scores),
        n_logs=len({s.entry.log_id for s in scores}),
        metrics=found,
        beats_baseline=beats,
        sentence=sentence,
    )


def _metric(spec: MetricSpec, region: str, scores: list[ClipScores], statistics: Statistics) -> Metric | None:
    measured = [s for s in scores if s.mean(spec.id, region) is not None]
    if not measured:
        return None
    clips = [_clip_value(spec, region, s) for s in measured]
    values, logs = [c.value for c in clips if c.value is not None], [c.log_id for c in clips]
    complete = len(values) == len(clips)
    baselines = {name: _baseline(name, clips, statistics) for name in BASELINES} if complete else {}
    known = {name: baseline for name, baseline in baselines.items() if baseline is not None}
    value = mean_over_clips(values) if complete else None
    return Metric(
        id=spec.id,
        region=region,
        unit=spec.unit,
        direction=spec.direction,
        value=value,
        problem=None if complete else _problem(spec, region, measured),
        n_images=sum(c.n_images for c in clips),
        n_clips=len(clips),
        n_logs=len(set(logs)),
        ci95=interval_over_logs(values, logs, statistics) if complete else None,
        no_interval=why_no_interval(logs) if complete else "no value",
        baselines=known,
        gap_closed=_gap_closed(value, known, spec),
        per_clip=tuple(clips),
    )


def _clip_value(spec: MetricSpec, region: str, scores: ClipScores) -> ClipValue:
    means = {name: scores.mean(spec.id, region, name) for name in BASELINES}
    value = _finite(scores.mean(spec.id, region))
    return ClipValue(
        clip_id=scores.entry.clip_id,
        log_id=scores.entry.log_id,
        n_images=scores.count(spec.id, region),
        value=value,
        baselines={name: mean for name, mean in means.items() if mean is not None},
        by_camera={} if value is None else scores.by_camera(spec.id, region),
    )


def _baseline(name: str, clips: list[ClipValue], statistics: Statistics) -> Baseline | None:
    """The baseline where every clip has it: over some of the clips it would not be paired with the model's mean."""
    pairs = [(c.value, c.baselines[name]) for c in clips if c.value is not None and name in c.baselines]
    if len(pairs) < len(clips):
        return None
    differences = [model - other for model, other in pairs]
    return Baseline(
        value=mean_over_clips([other for _, other in pairs]),
        difference=mean_over_clips(differences),
        difference_ci95=interval_over_logs(differences, [c.log_id for c in clips], statistics),
    )


def _gap_closed(value: float | None, baselines: dict[str, Baseline], spec: MetricSpec) -> float | None:
    if value is None or NEAREST not in baselines or ORACLE not in baselines:
        return None
    nearest, oracle = baselines[NEAREST].value, baselines[ORACLE].value
    gain = oracle - nearest if spec.direction == "up" else nearest - oracle
    return (value - nearest) / (oracle - nearest) if gain > 0 else None


def _problem(spec: MetricSpec, region: str, scores: list[ClipScores]) -> str:
    bad = [
        (s.entry.clip_id, image) for s in scores for image in s.of(spec.id, region) if not math.isfinite(image.value)
    ]
    total = sum(s.count(spec.id, region) for s in scores)
    clip_id, first = bad[0]
    return f"NaN in {len(bad)} of {total} images, first in clip {clip_id}, frame {first.frame}, camera {first.camera}"


def _sentence(psnr: Metric | None, source: str, split: str, same_log: bool) -> tuple[bool | None, str]:
    """Whether the model's PSNR is above nearest context, in words."""
    place = f"On {source} " + (
        "(same log: training saw other frames of these clips)" if same_log else f"({split} split)"
    )
    if psnr is None or psnr.value is None or NEAREST not in psnr.baselines:
        return None, f"{place} nothing could be compared with the nearest context frame."
    nearest = psnr.baselines[NEAREST]
    beats, interval = nearest.difference > 0, nearest.difference_ci95
    sure = f"95 % interval {interval.low:+.2f} to {interval.high:+.2f}" if interval else psnr.no_interval
    gap = "" if psnr.gap_closed is None else f"; {psnr.gap_closed:.0%} of the gap to the oracle reprojection closed"
    return beats, (
        f"{place} the model reaches {psnr.value:.2f} dB PSNR, {abs(nearest.difference):.2f} dB "
        f"{'above' if beats else 'below'} copying the nearest context frame ({sure}){gap}."
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
