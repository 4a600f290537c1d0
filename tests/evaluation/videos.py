"""Groups of generated videos without generating anything."""

from collections.abc import Mapping

from evaluation.base import Interval
from evaluation.generation.words import comparison_sentence
from evaluation.generation_report import (
    Comparison,
    GenerationGroup,
    MeasuredMethod,
    TimeValue,
    VideoMetric,
    VideoValue,
)
from evaluation.metrics.catalogue import REVISIT, VIDEO_METRICS, VIDEO_PSNR

KVD_TOK, PSNR = "video/kvd-tok@i3d-k400", "video/psnr"
GOOD = {"repeat_last_frame": 100.0, "teacher_forcing_4step": 60.0, "dmd": 40.0}


def video_metric(metric_id: str, value: float | None, n: int = 8) -> VideoMetric:
    """A metric over n clips of n logs, with an interval one to either side."""
    spec = VIDEO_METRICS[metric_id]
    by_clip = metric_id in (VIDEO_PSNR.id, REVISIT.id)
    values = (VideoValue(sample_id=f"s{i}", log_id=f"l{i}", value=value or 0.0) for i in range(n))
    clips = tuple(values) if by_clip else ()
    return VideoMetric(
        id=metric_id,
        unit=spec.unit,
        direction=spec.direction,
        value=value,
        problem=None if value is not None else "not a finite number",
        n_clips=n,
        n_logs=n,
        n_reference_clips=0 if by_clip else n,
        n_reference_logs=0 if by_clip else n,
        ci95=None if value is None else Interval(low=value - 1, high=value + 1),
        no_interval="no value" if value is None else None,
        per_clip=clips,
        by_time=(TimeValue(time_s=0.1, value=value or 0.0),) if by_clip else (),
    )


def compared(metric: VideoMetric, name: str, others: Mapping[str, float], half: float) -> VideoMetric:
    """The metric against other methods' values, each difference with an interval of +- half."""
    against = {}
    for other, theirs in others.items():
        difference = (metric.value or 0.0) - theirs
        ci95 = Interval(low=difference - half, high=difference + half)
        sentence = comparison_sentence((name, other), metric, difference, ci95, None)
        against[other] = Comparison(difference=difference, ci95=ci95, sentence=sentence)
    return metric.model_copy(update={"against": against})


def video_group(
    source: str = "synthetic",
    values: Mapping[str, float] = GOOD,
    *,
    metrics: tuple[str, ...] = (KVD_TOK,),
    half: float = 5.0,
    no_distances: str | None = None,
    **fields: object,
) -> GenerationGroup:
    """A group of methods with these values of every metric; dmd is compared with all the others."""
    methods = []
    for name, value in values.items():
        found = [video_metric(metric_id, value) for metric_id in metrics]
        if name == "dmd":
            others = {other: theirs for other, theirs in values.items() if other != "dmd"}
            found = [compared(metric, name, others, half) for metric in found]
        role = "baseline" if name == "repeat_last_frame" else "method"
        methods.append(MeasuredMethod(name=name, role=role, metrics=tuple(found)))
    place = {"source": source, "split": "test", "same_log": False, "n_clips": 8, "n_logs": 8}
    counts = {"n_reference_clips": 8, "n_reference_logs": 8, "no_distances": no_distances, "sentence": "So it is."}
    return GenerationGroup.model_validate(place | counts | {"methods": methods} | fields)
