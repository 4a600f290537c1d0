"""Metrics of one generated clip against its own true frames, by clip and by time: PSNR and LPIPS.

The given first frame does not count. A continuation need not be the recorded one to be good: PSNR, and blur scores
well in it, says how far a video strays from what happened, never how real it looks; so does LPIPS, which sees blur.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.generation.rollouts import RolloutSample
from evaluation.generation.spans import Span
from evaluation.generation_report import TimeValue, VideoMetric, VideoValue
from evaluation.metrics.catalogue import MetricSpec
from evaluation.report import Statistics
from evaluation.statistics import interval_over_logs, mean_over_clips, why_no_interval

NO_VALUE = "no value"


@dataclass(frozen=True)
class Curve:
    """A metric of some frames [n] of one clip; frames count from the given one."""

    sample: RolloutSample
    frames: tuple[int, ...]
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Over its frames."""
        return float(self.values.mean())

    def within(self, span: Span) -> "Curve":
        """The part inside a window."""
        kept = [i for i, frame in enumerate(self.frames) if span.first <= frame <= span.last]
        return Curve(self.sample, tuple(self.frames[i] for i in kept), self.values[kept])


def curve_metric(spec: MetricSpec, curves: Sequence[Curve], rate_hz: float, statistics: Statistics) -> VideoMetric:
    """The mean over clips of the mean over frames, with its interval over logs, by clip and by time.

    Args:
        spec: of the metric.
        curves: one a clip, all of the same frames.
        rate_hz: of the frames.
        statistics: of the interval.
    """
    by_sample = {curve.sample.sample_id: curve.mean for curve in curves}
    found = clips_metric(spec, [curve.sample for curve in curves], by_sample, statistics)
    if found.value is None:
        return found
    means = np.mean([curve.values for curve in curves], axis=0)
    times = zip(curves[0].frames, means, strict=True)
    by_time = tuple(TimeValue(time_s=frame / rate_hz, value=float(value)) for frame, value in times)
    return found.model_copy(update={"by_time": by_time})


def clips_metric(
    spec: MetricSpec, samples: Sequence[RolloutSample], values: Mapping[str, float], statistics: Statistics
) -> VideoMetric:
    """The mean over the clips that have a value, with its interval over logs; no value where one is not finite.

    Args:
        spec: of the metric.
        samples: the clips of the group.
        values: by sample id, of at least one of them.
        statistics: of the interval.
    """
    clips = [sample for sample in samples if sample.sample_id in values]
    numbers, logs = [values[clip.sample_id] for clip in clips], [clip.log_id for clip in clips]
    bad = [clip.sample_id for clip, number in zip(clips, numbers, strict=True) if not math.isfinite(number)]
    per_clip = () if bad else tuple(_value(clip, values) for clip in clips)
    return VideoMetric(
        id=spec.id,
        unit=spec.unit,
        direction=spec.direction,
        value=None if bad else mean_over_clips(numbers),
        problem=f"NaN in {len(bad)} of {len(clips)} clips, first in {bad[0]}" if bad else None,
        n_clips=len(clips),
        n_logs=len(set(logs)),
        ci95=None if bad else interval_over_logs(numbers, logs, statistics),
        no_interval=NO_VALUE if bad else why_no_interval(logs),
        per_clip=per_clip,
    )


def _value(clip: RolloutSample, values: Mapping[str, float]) -> VideoValue:
    return VideoValue(sample_id=clip.sample_id, log_id=clip.log_id, value=values[clip.sample_id])
