"""Compares a challenger with the champion on the very same clips: two reports, and their features, in; differences out.

Metrics with values by clip are paired clip by clip (`evaluation.paired`: cluster bootstrap over logs), over all clips
and over the slices that the report has, whose intervals are corrected for their number. Distances are paired by leaving
out one log at a time for both models at once (`evaluation.paired_distances`). What cannot be compared is left
out with its reason. Clips of logs that training saw are not compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.base import Direction, Interval, fingerprint
from evaluation.comparison import Comparison, Difference, difference_name, require_same_protocol, verdict_of
from evaluation.generation_report import GenerationGroup, VideoMetric
from evaluation.paired_distances import Tables, distance_difference
from evaluation.report import Group, Metric, Report, Statistics
from evaluation.statistics import interval_over_logs, mean_over_clips, why_no_interval
from worldmodel.errors import DataError

AnyGroup = Group | GenerationGroup


@dataclass(frozen=True)
class Subject:
    """What is compared: one metric of both models."""

    source: str
    split: str
    metric: str
    unit: str
    direction: Direction
    region: str = "all"
    method: str | None = None
    slice: str | None = None

    @property
    def name(self) -> str:
        """As `Comparison` names it."""
        return difference_name(self.source, self.split, self.metric, self.region, self.method, self.slice)


@dataclass(frozen=True)
class Clip:
    """One clip's value, where it stands in every dimension, and its values by camera."""

    log_id: str
    value: float | None
    slices: Mapping[str, str]
    cameras: Mapping[str, float]

    def of(self, part: str) -> float | None:
        """The value in a slice, `dimension=value`; None where the clip is not in it."""
        dimension, _, value = part.partition("=")
        if dimension == "camera":
            return self.cameras.get(value)
        return self.value if self.slices.get(dimension) == value else None


Clips = Mapping[str, Clip]
Found = tuple[Subject, Difference | str]


def compare(
    challenger: Report,
    champion: Report,
    challenger_features: Path | None = None,
    champion_features: Path | None = None,
) -> Comparison:
    """All paired differences challenger - champion.

    Args:
        challenger: its report.
        champion: its report, of the same data under the same protocol.
        challenger_features: directory of the features that its distances were taken of; None: no distance is compared.
        champion_features: likewise.

    Raises:
        ProtocolMismatchError: the reports are under different protocols; names the field.
        DataError: the reports are of other data.
    """
    require_same_protocol(challenger.protocol, champion.protocol)
    if (challenger.data, challenger.clips) != (champion.data, champion.clips):
        raise DataError(
            "the reports are of other data, so their numbers do not compare",
            expected=f"the challenger's data {challenger.data.sha256[:16]}",
            got=champion.data.sha256[:16],
            fix="measure both on one set of clips: worldmodel evaluate MODEL --run RUN",
        )
    directories = (challenger_features, champion_features)
    found = [*_reconstruction(challenger, champion), *_videos(challenger, champion, directories)]
    return Comparison(
        challenger_report_sha256=fingerprint(challenger),
        champion_report_sha256=fingerprint(champion),
        differences=tuple(result for _, result in found if isinstance(result, Difference)),
        left_out={subject.name: result for subject, result in found if isinstance(result, str)},
    )


def _reconstruction(challenger: Report, champion: Report) -> Iterator[Found]:
    for group in challenger.groups:
        theirs = champion.group(group.source, group.split)
        for metric in group.metrics if not group.same_log else ():
            subject = Subject(group.source, group.split, metric.id, metric.unit, metric.direction, metric.region)
            other = theirs.metric(metric.id, metric.region) if theirs is not None else None
            if other is None:
                yield subject, "the champion was not measured so"
            else:
                pair = (_clips(challenger, metric), _clips(champion, other))
                yield from _by_clip(subject, pair, group, challenger.statistics)


def _videos(challenger: Report, champion: Report, directories: tuple[Path | None, Path | None]) -> Iterator[Found]:
    for group in challenger.generation:
        if group.same_log:
            continue
        theirs = champion.generated(group.source, group.split)
        tables = Tables.read(directories, group.source, group.split)
        for method in group.methods if theirs is not None else ():
            for metric in method.metrics if method.role == "method" else ():
                subject = Subject(
                    group.source, group.split, metric.id, metric.unit, metric.direction, method=method.name
                )
                other = theirs.metric(method.name, metric.id) if theirs is not None else None
                if other is None:
                    yield subject, "the champion was not measured so"
                elif metric.n_reference_clips:
                    yield subject, _distance(subject, metric, other, tables)
                else:
                    pair = (_videos_by_clip(challenger, metric), _videos_by_clip(champion, other))
                    yield from _by_clip(subject, pair, group, challenger.statistics)


def _clips(report: Report, metric: Metric) -> Clips:
    slices = {clip.clip_id: clip.slices for clip in report.clips}
    return {c.clip_id: Clip(c.log_id, c.value, slices.get(c.clip_id, {}), c.by_camera) for c in metric.per_clip}


def _videos_by_clip(report: Report, metric: VideoMetric) -> Clips:
    """Values by video, which is called `<clip>.<camera>.<first frame>`."""
    slices = {clip.clip_id: clip.slices for clip in report.clips}
    found = {}
    for video in metric.per_clip:
        clip_id, camera, _ = [*video.sample_id.rsplit(".", 2), "", ""][:3]
        found[video.sample_id] = Clip(video.log_id, video.value, slices.get(clip_id, {}), {camera: video.value})
    return found


def _by_clip(subject: Subject, pair: tuple[Clips, Clips], group: AnyGroup, statistics: Statistics) -> Iterator[Found]:
    """The difference over all clips, and those of the group's slices of this metric that have clips enough."""
    ours, theirs = pair
    if set(ours) != set(theirs):
        yield subject, "the two were measured on different clips"
        return
    if not ours or any(clip.value is None for clip in (*ours.values(), *theirs.values())):
        yield subject, "one of the two has no value"
        return
    logs = [clip.log_id for clip in ours.values()]
    values = [(clip.value or 0.0, theirs[name].value or 0.0) for name, clip in ours.items()]
    yield subject, _difference(subject, values, logs, statistics)
    of_metric = [s for s in group.slices if (s.metric, s.method) == (subject.metric, subject.method)]
    if subject.region != "all":
        return
    judged = [s for s in of_metric if s.n_clips >= s.min_clips]
    for part in of_metric:
        if part not in judged:
            yield replace(subject, slice=part.slice), f"{part.n_clips} clips, and a slice needs {part.min_clips}"
    for part in judged:
        inside = [
            (a, b, clip.log_id) for name, clip in ours.items() for a, b in _inside(clip, theirs[name], part.slice)
        ]
        found = replace(subject, slice=part.slice)
        both, inside_logs = [(a, b) for a, b, _ in inside], [log for *_, log in inside]
        if both:
            yield found, _difference(found, both, inside_logs, statistics, len(judged))
        else:
            yield found, "no clip that both have is in the slice"


def _inside(ours: Clip, theirs: Clip, part: str) -> Iterator[tuple[float, float]]:
    """The pair of values in a slice, if the clip is in it."""
    a, b = ours.of(part), theirs.of(part)
    if a is not None and b is not None:
        yield a, b


def _difference(
    subject: Subject, pairs: Sequence[tuple[float, float]], logs: Sequence[str], statistics: Statistics, slices: int = 1
) -> Difference:
    """Of values (challenger, champion) by clip; the interval covers with those of `slices` slices at once."""
    ci95 = interval_over_logs([a - b for a, b in pairs], logs, statistics, slices)
    means = mean_over_clips([a for a, _ in pairs]), mean_over_clips([b for _, b in pairs])
    counts = (len(pairs), len(set(logs)))
    return _record(subject, means, counts, ci95, why_no_interval(logs)).model_copy(update={"corrected_for": slices})


def _distance(subject: Subject, ours: VideoMetric, theirs: VideoMetric, tables: Tables) -> Difference | str:
    if ours.value is None or theirs.value is None:
        return "one of the two has no value"
    values, counts = (ours.value, theirs.value), (ours.n_clips, ours.n_logs)
    found = distance_difference(subject.metric, subject.method or "", values, tables)
    return found if isinstance(found, str) else _record(subject, values, counts, *found)


def _record(
    subject: Subject, values: tuple[float, float], counts: tuple[int, int], ci95: Interval | None, why: str | None
) -> Difference:
    return Difference(
        source=subject.source,
        split=subject.split,
        metric=subject.metric,
        region=subject.region,
        method=subject.method,
        slice=subject.slice,
        unit=subject.unit,
        direction=subject.direction,
        n_clips=counts[0],
        n_logs=counts[1],
        challenger=values[0],
        champion=values[1],
        difference=values[0] - values[1],
        ci95=ci95,
        no_interval=why,
        verdict=verdict_of(ci95, subject.direction),
    )
