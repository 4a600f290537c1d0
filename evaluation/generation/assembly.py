"""From what was seen of one group of clips to its part of the report: every method with its comparisons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.generation.comparisons import compared
from evaluation.generation.curves import clips_metric, curve_metric
from evaluation.generation.distances import Scored, score_distance
from evaluation.generation.looking import Seen
from evaluation.generation.recipes import Recipe
from evaluation.generation.rollouts import RolloutMethod, RolloutSample
from evaluation.generation.spans import Span
from evaluation.generation.words import group_sentence, leading_method
from evaluation.generation_report import (
    REPEAT,
    TOKENIZER,
    TRUE_FRAMES,
    GenerationGroup,
    MeasuredMethod,
    Role,
    VideoMetric,
    Window,
)
from evaluation.metrics.catalogue import VIDEO_METRICS, MetricSpec
from evaluation.report import SliceValue, Statistics
from evaluation.slices import SlicedClip, Slicing, slice_values


@dataclass(frozen=True)
class GroupParts:
    """What is known of one group.

    Attributes:
        generated, reference: its clips.
        methods: the baseline first.
        seen: curves and features.
        spans: the windows of the features.
        recipes: the distances to take of them.
        joint: further metrics by method, metric id and sample id.
        no_distances: why there are no features.
    """

    generated: Sequence[RolloutSample]
    reference: Sequence[RolloutSample]
    methods: Sequence[RolloutMethod]
    seen: Seen
    spans: Sequence[Span] = ()
    recipes: Sequence[Recipe] = ()
    joint: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    no_distances: str | None = None


def assemble(parts: GroupParts, rate_hz: float, slicing: Slicing, statistics: Statistics) -> GenerationGroup:
    """The group's record: floors, then the baseline and the methods in pipeline order."""
    first = parts.generated[0]
    scores = {name: _scores(name, parts, rate_hz, statistics) for name in _names(parts)}
    group = GenerationGroup(
        source=first.source,
        split=first.split,
        same_log=first.same_log,
        n_clips=len(parts.generated),
        n_logs=len({sample.log_id for sample in parts.generated}),
        n_reference_clips=len(parts.reference),
        n_reference_logs=len({sample.log_id for sample in parts.reference}),
        methods=tuple(_method(name, scores, parts, rate_hz, statistics) for name in scores),
        no_distances=parts.no_distances,
        sentence="",
    )
    slices = tuple(_slices(group, parts, slicing, statistics))
    return group.model_copy(update={"sentence": group_sentence(group), "slices": slices})


def _method(
    name: str, scores: Mapping[str, Mapping[str, Scored]], parts: GroupParts, rate_hz: float, statistics: Statistics
) -> MeasuredMethod:
    method = next((m for m in parts.methods if m.name == name), None)
    role: Role = "floor" if method is None else "baseline" if name == REPEAT else "method"
    return MeasuredMethod(
        name=name,
        role=role,
        steps=None if method is None else method.steps,
        weights_sha256=None if method is None else method.weights_sha256,
        metrics=tuple(compared(name, scored, scores, statistics) for scored in scores[name].values()),
        windows=tuple(_windows(name, parts, rate_hz, statistics)),
    )


def _names(parts: GroupParts) -> list[str]:
    """Methods in the order of the report; the true frames are there where something was measured of them."""
    has_true = bool(parts.recipes) or bool(parts.joint.get(TRUE_FRAMES))
    return [*([TRUE_FRAMES] if has_true else []), TOKENIZER, *(method.name for method in parts.methods)]


def _scores(name: str, parts: GroupParts, rate_hz: float, statistics: Statistics) -> dict[str, Scored]:
    """Every metric of a method by id: distances of the first window, and means over clips of all frames."""
    found = {recipe.spec.id: scored for recipe, scored in _distances(name, parts, 0, statistics.seed)}
    for spec, by_method in parts.seen.curves.items():
        if name in by_method:
            found[spec.id] = Scored(curve_metric(spec, by_method[name], rate_hz, statistics))
    for metric_id, values in parts.joint.get(name, {}).items():
        found[metric_id] = Scored(clips_metric(VIDEO_METRICS[metric_id], parts.generated, values, statistics))
    return found


def _distances(name: str, parts: GroupParts, place: int, seed: int | None) -> Iterator[tuple[Recipe, Scored]]:
    for recipe in parts.recipes:
        table = parts.seen.tables[place].get(recipe.table)
        if table is not None and name in table.made:
            yield recipe, score_distance(recipe, table, name, seed)


def _windows(name: str, parts: GroupParts, rate_hz: float, statistics: Statistics) -> Iterator[Window]:
    """The drift curve, where there are two windows or more: distances, and the parts of the curves inside each."""
    for place, span in enumerate(parts.spans if len(parts.spans) > 1 else ()):
        metrics = [scored.metric for _, scored in _distances(name, parts, place, None)]
        for spec, by_method in parts.seen.curves.items():
            inside = [curve.within(span) for curve in by_method.get(name, ())]
            if inside and inside[0].frames:
                metrics.append(curve_metric(spec, inside, rate_hz, statistics))
        yield Window(first=span.first, last=span.last, metrics=tuple(metrics))


def _slices(
    group: GenerationGroup, parts: GroupParts, slicing: Slicing, statistics: Statistics
) -> Iterator[SliceValue]:
    """The per-clip metrics of the leading method and of the baseline over the clips of every slice."""
    samples = {sample.sample_id: sample for sample in parts.generated}
    for name in dict.fromkeys((leading_method(group), REPEAT)):
        method = None if name is None else group.method(name)
        for metric in method.metrics if method is not None else ():
            clips = _sliced(metric, samples)
            if clips:
                spec = MetricSpec(metric.id, metric.unit, metric.direction)
                yield from slice_values(spec, clips, slicing, statistics, name)


def _sliced(metric: VideoMetric, samples: Mapping[str, RolloutSample]) -> list[SlicedClip]:
    found = []
    for clip in metric.per_clip:
        sample = samples[clip.sample_id]
        found.append(SlicedClip(sample.clip_id, sample.log_id, clip.value, {sample.camera: clip.value}))
    return found
