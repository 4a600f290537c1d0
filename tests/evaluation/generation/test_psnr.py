import numpy as np
import pytest

from evaluation.generation.psnr import Curve, psnr_by_frame, psnr_curves, psnr_metric
from evaluation.report import Statistics

STATISTICS = Statistics(resamples=200, seed=0)


def test_every_frame_but_the_given_one_counts():
    truth = np.full((3, 4, 4, 3), 100, np.uint8)
    video = truth.copy()
    video[0], video[1], video[2] = 0, 151, 100
    np.testing.assert_allclose(psnr_by_frame(video, truth), [-10 * np.log10(0.04), 100.0])


def test_the_metric_is_the_mean_over_clips_of_the_mean_over_frames(rollouts):
    samples = rollouts.index.samples[:3]
    curves = [Curve(sample, np.array([10.0 * i, 20.0])) for i, sample in enumerate(samples)]
    metric = psnr_metric(curves, 10.0, STATISTICS)
    assert [clip.value for clip in metric.per_clip] == [10.0, 15.0, 20.0]
    assert (metric.value, metric.n_clips, metric.n_logs) == (15.0, 3, 3)
    assert [(at.time_s, at.value) for at in metric.by_time] == [(0.1, 10.0), (0.2, 20.0)]
    assert metric.ci95.low >= 10.0 and metric.ci95.high <= 20.0


def test_two_logs_have_no_interval_and_the_reason(rollouts):
    curves = [Curve(sample, np.array([20.0])) for sample in rollouts.index.samples[:2]]
    metric = psnr_metric(curves, 10.0, STATISTICS)
    assert metric.ci95 is None and metric.no_interval == "2 logs: an interval over logs needs 3"


def test_every_method_and_the_tokenizer_is_measured_on_every_clip(rollouts):
    ticks = []
    samples = rollouts.index.samples[:2]
    curves = psnr_curves(rollouts, rollouts.index.methods, samples, lambda: ticks.append(1))
    assert len(ticks) == 2 and {len(found) for found in curves.values()} == {2}
    means = {name: found[0].mean for name, found in curves.items()}
    assert means["tokenizer"] == pytest.approx(-20 * np.log10(1 / 255), abs=0.5)
    assert means["tokenizer"] > means["dmd"] > means["teacher_forcing"] > means["teacher_forcing_4step"]
