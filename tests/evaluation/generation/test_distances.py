import numpy as np

from evaluation.generation.distances import pairs_by_metric, passes
from evaluation.generation.rollouts import methods_of
from tests.evaluation.generation.toy import ToyFeatures

FVD, FVD_TOK = "video/fvd@i3d-k400", "video/fvd-tok@i3d-k400"


def split(rollouts):
    found = rollouts.index.samples
    return [s for s in found if s.role == "generated"], [s for s in found if s.role == "reference"]


def features_of(video):
    return ToyFeatures().cached("0", lambda: video[1:])


def test_each_distance_is_of_the_videos_it_says_without_the_given_frame(rollouts):
    generated, reference = split(rollouts)
    pairs = pairs_by_metric(rollouts, methods_of(rollouts.index), generated, reference, ToyFeatures())

    def expected(read, samples):
        return np.stack([features_of(read(sample)) for sample in samples])

    def made(name, samples):
        return expected(lambda sample: rollouts.made(name, sample), samples)

    raw, tok = pairs[FVD], pairs[FVD_TOK]
    assert list(raw) == ["true_frames", "tokenizer", *(m.name for m in methods_of(rollouts.index))]
    assert set(tok) == set(raw) - {"true_frames"}
    np.testing.assert_array_equal(raw["true_frames"].made.values, expected(rollouts.true, generated))
    np.testing.assert_array_equal(raw["dmd"].reference.values, expected(rollouts.true, reference))
    np.testing.assert_array_equal(tok["dmd"].reference.values, made("tokenizer", reference))
    for pair in (raw, tok):
        np.testing.assert_array_equal(pair["dmd"].made.values, made("dmd", generated))
        np.testing.assert_array_equal(pair["tokenizer"].made.values, made("tokenizer", generated))
    np.testing.assert_array_equal(raw["repeat_last_frame"].made.values, made("repeat_last_frame", generated))
    decoded = made("repeat_last_frame_tokenizer", generated)
    np.testing.assert_array_equal(tok["repeat_last_frame"].made.values, decoded)
    assert raw["dmd"].made.logs == tuple(sample.log_id for sample in generated)


def test_features_in_the_cache_are_not_read_again_and_progress_counts_every_clip(rollouts, monkeypatch):
    (generated, reference), methods, features = split(rollouts), methods_of(rollouts.index), ToyFeatures()
    ticks = []

    def measure():
        return pairs_by_metric(rollouts, methods, generated, reference, features, lambda: ticks.append(1))

    first = measure()
    assert len(ticks) == passes(methods, len(generated), len(reference)) == (5 + 2) * 6 + 2 * 5
    monkeypatch.setattr(type(rollouts), "true", lambda *_: 1 / 0)
    again = measure()
    np.testing.assert_array_equal(first[FVD]["true_frames"].made.values, again[FVD]["true_frames"].made.values)
