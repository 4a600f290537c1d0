import numpy as np
import pytest

from evaluation.generation.curves import Curve, clips_metric, curve_metric
from evaluation.generation.psnr import psnr_by_frame
from evaluation.generation.spans import Span
from evaluation.metrics.catalogue import VIDEO_LPIPS, VIDEO_PSNR
from evaluation.report import Statistics

STATISTICS = Statistics(resamples=200, seed=0)


def curves_of(rollouts, *values, frames=(1, 2)):
    samples = rollouts.index.samples[: len(values)]
    return [Curve(sample, frames, np.array(value)) for sample, value in zip(samples, values, strict=True)]


def test_every_frame_but_the_given_one_counts():
    truth = np.full((3, 4, 4, 3), 100, np.uint8)
    video = truth.copy()
    video[0], video[1], video[2] = 0, 151, 100
    np.testing.assert_allclose(psnr_by_frame(video, truth), [-10 * np.log10(0.04), 100.0])


def test_the_metric_is_the_mean_over_clips_of_the_mean_over_frames(rollouts):
    curves = curves_of(rollouts, [0.0, 20.0], [10.0, 20.0], [20.0, 20.0], frames=(2, 4))
    metric = curve_metric(VIDEO_LPIPS, curves, 10.0, STATISTICS)
    assert [clip.value for clip in metric.per_clip] == [10.0, 15.0, 20.0]
    assert (metric.id, metric.value, metric.n_clips, metric.n_logs) == ("video/lpips@lpips-alex", 15.0, 3, 3)
    assert [(at.time_s, at.value) for at in metric.by_time] == [(0.2, 10.0), (0.4, 20.0)]
    half = 5 * np.sqrt(3 / 2) * 4.30265 / 1.95996  # to the outermost clip, widened to Student's t of 3 logs
    assert (metric.ci95.low, metric.ci95.high) == pytest.approx((15 - half, 15 + half), rel=1e-4)


def test_two_logs_have_no_interval_and_the_reason(rollouts):
    metric = curve_metric(VIDEO_PSNR, curves_of(rollouts, [20.0], [20.0], frames=(1,)), 10.0, STATISTICS)
    assert metric.ci95 is None and metric.no_interval == "2 logs: an interval over logs needs 3"


def test_a_number_that_is_not_finite_leaves_no_value_and_says_where(rollouts):
    curves = curves_of(rollouts, [1.0, 2.0], [np.nan, 2.0], [1.0, np.inf])
    metric = curve_metric(VIDEO_PSNR, curves, 10.0, STATISTICS)
    assert metric.value is None and metric.per_clip == metric.by_time == ()
    assert metric.problem == f"NaN in 2 of 3 clips, first in {curves[1].sample.sample_id}"


def test_a_window_of_a_curve_has_its_frames_alone(rollouts):
    (curve,) = curves_of(rollouts, [1.0, 2.0, 3.0, 4.0], frames=(2, 4, 6, 8))
    inside = curve.within(Span(3, 6))
    assert inside.frames == (4, 6) and inside.values.tolist() == [2.0, 3.0]


def test_a_metric_of_some_clips_is_over_those(rollouts):
    samples = rollouts.index.samples[:4]
    values = {samples[3].sample_id: 4.0, samples[1].sample_id: 2.0}
    metric = clips_metric(VIDEO_PSNR, samples, values, STATISTICS)
    assert (metric.value, metric.n_clips, metric.by_time) == (3.0, 2, ())
    assert [clip.log_id for clip in metric.per_clip] == [samples[1].log_id, samples[3].log_id]
