"""PSNR of generated frames against the clip's own true frames, by clip and by time.

The given first frame does not count. A continuation need not be the recorded one to be good, and blur scores better
here than a sharp wrong guess: PSNR says how far a video strays from what happened, never how real it looks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.generation.rollouts import RolloutMethod, Rollouts, RolloutSample, Video
from evaluation.generation_report import TOKENIZER, TimeValue, VideoMetric, VideoValue
from evaluation.grouping import interval_over_logs
from evaluation.metrics.catalogue import VIDEO_PSNR
from evaluation.metrics.image import psnr
from evaluation.report import Statistics
from evaluation.statistics import mean_over_clips, why_no_interval

Curves = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Curve:
    """PSNR in dB of every measured frame [T - 1] of one clip."""

    sample: RolloutSample
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(self.values.mean())


def psnr_by_frame(video: Video, truth: Video) -> NDArray[np.float64]:
    """PSNR in dB of frames 1 to T - 1 of videos [T, H, W, 3] against the truth: [T - 1]."""
    pairs = zip(video[1:], truth[1:], strict=True)
    return np.array([psnr(frame, true) for frame, true in pairs], dtype=np.float64)


def psnr_curves(
    rollouts: Rollouts,
    methods: Sequence[RolloutMethod],
    samples: Sequence[RolloutSample],
    tick: Callable[[], None] = lambda: None,
) -> dict[str, list[Curve]]:
    """The curves of every method, and of the true frames through the tokenizer, on every clip; `tick` after each."""
    names = [*(method.name for method in methods), TOKENIZER]
    found: dict[str, list[Curve]] = {name: [] for name in names}
    for sample in samples:
        truth = rollouts.true(sample)
        for name in names:
            found[name].append(Curve(sample, psnr_by_frame(rollouts.made(name, sample), truth)))
        tick()
    return found


def psnr_metric(curves: Sequence[Curve], rate_hz: float, statistics: Statistics) -> VideoMetric:
    """The mean over clips of the mean over frames, with its interval over logs, by clip and by time."""
    logs, values = [c.sample.log_id for c in curves], [c.mean for c in curves]
    by_time = np.mean([c.values for c in curves], axis=0)
    return VideoMetric(
        id=VIDEO_PSNR.id,
        unit=VIDEO_PSNR.unit,
        direction=VIDEO_PSNR.direction,
        value=mean_over_clips(values),
        n_clips=len(curves),
        n_logs=len(set(logs)),
        ci95=interval_over_logs(values, logs, statistics),
        no_interval=why_no_interval(logs),
        per_clip=tuple(
            VideoValue(sample_id=c.sample.sample_id, log_id=c.sample.log_id, value=v)
            for c, v in zip(curves, values, strict=True)
        ),
        by_time=tuple(TimeValue(time_s=(i + 1) / rate_hz, value=float(v)) for i, v in enumerate(by_time)),
    )
