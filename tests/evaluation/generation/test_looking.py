from dataclasses import replace

import numpy as np
import pytest

from evaluation.generation.looking import Lenses, look, videos_to_look_at
from evaluation.generation.rollouts import methods_of
from evaluation.generation.spans import Span
from evaluation.metrics.catalogue import VIDEO_LPIPS, VIDEO_PSNR
from tests.evaluation.generation.toy import ToyFeatures
from tests.evaluation.toy_perceptual import ToyPerceptual, toy_identity
from worldmodel.errors import DataError

NAMES = ("repeat_last_frame", "dmd", "teacher_forcing", "teacher_forcing_4step")


def lenses(**fields):
    both = {"video": ToyFeatures(), "images": ToyFeatures("inception-2015-12-05"), "image_stride": 2}
    return Lenses(**({"spans": [Span(1, 6)], **both} | fields))


def clips(rollouts):
    found = rollouts.index.samples
    return [s for s in found if s.role == "generated"], [s for s in found if s.role == "reference"]


@pytest.fixture
def seen(rollouts):
    return look(rollouts, methods_of(rollouts.index), clips(rollouts), lenses())


def expected(read, samples, frames, network=None):
    network = network or ToyFeatures()
    return np.concatenate([np.atleast_2d(network.of(read(sample)[list(frames)])) for sample in samples])


def test_each_feature_is_of_the_videos_it_says_without_the_given_frame(rollouts, seen):
    (generated, reference), (tables,) = clips(rollouts), seen.tables

    def made(name, samples):
        return expected(lambda sample: rollouts.made(name, sample), samples, range(1, 7))

    raw, tok = tables["i3d-k400"], tables["i3d-k400-tok"]
    assert set(raw.made) == {"true_frames", "tokenizer", *NAMES} and set(tok.made) == {"tokenizer", *NAMES}
    np.testing.assert_array_equal(raw.of("true_frames").values, expected(rollouts.true, generated, range(1, 7)))
    np.testing.assert_array_equal(raw.true.values, expected(rollouts.true, reference, range(1, 7)))
    np.testing.assert_array_equal(tok.true.values, made("tokenizer", reference))
    for table in (raw, tok):
        np.testing.assert_array_equal(table.of("dmd").values, made("dmd", generated))
        np.testing.assert_array_equal(table.of("tokenizer").values, made("tokenizer", generated))
    np.testing.assert_array_equal(raw.of("repeat_last_frame").values, made("repeat_last_frame", generated))
    decoded = made("repeat_last_frame_tokenizer", generated)
    np.testing.assert_array_equal(tok.of("repeat_last_frame").values, decoded)
    assert raw.of("dmd").logs == tuple(sample.log_id for sample in generated)
    assert raw.reference_rows.samples == tuple(sample.sample_id for sample in reference)


def test_image_features_are_of_every_so_many_raw_frames_a_row_each(rollouts, seen):
    (generated, reference), images = clips(rollouts), seen.tables[0]["inception-2015-12-05"]
    network = ToyFeatures("inception-2015-12-05")
    ours = expected(lambda s: rollouts.made("repeat_last_frame", s), generated, (2, 4, 6), network)
    np.testing.assert_array_equal(images.of("repeat_last_frame").values, ours)
    np.testing.assert_array_equal(images.true.values, expected(rollouts.true, reference, (2, 4, 6), network))
    assert images.made_rows.logs[:4] == (*[generated[0].log_id] * 3, generated[1].log_id)


def test_no_image_features_are_taken_of_videos_whose_images_are_not_compared(rollouts):
    images = ToyFeatures("inception-2015-12-05")
    taken = []

    class Noted:
        identity, min_frames = images.identity, images.min_frames

        def cached(self, digest, load, name=""):
            taken.append(name.split()[0])
            return images.cached(digest, load, name)

    look(rollouts, methods_of(rollouts.index), clips(rollouts), lenses(images=Noted()))
    assert set(taken) == {"true", "tokenizer", *NAMES}


def test_windows_are_of_their_own_frames_and_a_window_without_images_has_no_table_of_them(rollouts):
    spans = [Span(1, 4), Span(5, 6)]
    found = look(rollouts, methods_of(rollouts.index), clips(rollouts), lenses(spans=spans, image_stride=3)).tables
    generated = clips(rollouts)[0]
    for span, tables in zip(spans, found, strict=True):
        ours = expected(lambda s: rollouts.made("dmd", s), generated, span.frames)
        np.testing.assert_array_equal(tables["i3d-k400"].of("dmd").values, ours)
    (none,) = look(
        rollouts, methods_of(rollouts.index), clips(rollouts), lenses(spans=spans[1:], image_stride=7)
    ).tables
    assert set(none) == {"i3d-k400", "i3d-k400-tok"}


def test_lpips_is_of_every_so_many_frames_and_the_truth_is_looked_at_once(rollouts):
    net = ToyPerceptual(toy_identity("lpips-alex"))
    through = Lenses(lpips=net, lpips_stride=2)
    found = look(rollouts, methods_of(rollouts.index), clips(rollouts), through)
    assert found.tables == [] and net.images_seen == 6 * 3 * (1 + 5)
    sample, curve = clips(rollouts)[0][0], found.curves[VIDEO_LPIPS]["dmd"][0]
    truth, video = rollouts.true(sample).astype(float), rollouts.made("dmd", sample).astype(float)
    assert curve.frames == (2, 4, 6)
    np.testing.assert_allclose(curve.values, 1 + np.abs(truth - video)[[2, 4, 6]].mean((1, 2, 3)) / 255)


def test_every_method_and_the_tokenizer_has_a_psnr_on_every_clip(rollouts):
    curves = look(rollouts, methods_of(rollouts.index), clips(rollouts), Lenses()).curves[VIDEO_PSNR]
    assert set(curves) == {"tokenizer", *NAMES} and {len(found) for found in curves.values()} == {6}
    means = {name: found[0].mean for name, found in curves.items()}
    assert means["tokenizer"] == pytest.approx(-20 * np.log10(1 / 255), abs=0.5)
    assert means["tokenizer"] > means["dmd"] > means["teacher_forcing"] > means["teacher_forcing_4step"]


@pytest.mark.parametrize("through", [lenses(), Lenses()])
def test_progress_counts_every_video(rollouts, through):
    ticks, methods = [], methods_of(rollouts.index)
    look(rollouts, methods, clips(rollouts), through, lambda: ticks.append(1))
    assert len(ticks) == videos_to_look_at(methods, through, 6, 5)
    assert len(ticks) == ((2 + 5) * 6 + 2 * 5 if through.video else 5 * 6)


def test_true_frames_whose_features_are_known_are_not_read_again(rollouts, monkeypatch):
    through, (_, reference), methods = lenses(), clips(rollouts), methods_of(rollouts.index)
    look(rollouts, methods, clips(rollouts), through)
    read = type(rollouts).true
    monkeypatch.setattr(type(rollouts), "true", lambda self, s: 1 / 0 if s in reference else read(self, s))
    look(rollouts, methods, clips(rollouts), through)
    with pytest.raises(ZeroDivisionError):
        look(rollouts, methods, clips(rollouts), lenses())


def test_a_network_that_answers_with_another_number_of_rows_is_an_error(rollouts):
    class Broken(ToyFeatures):
        def of(self, frames):
            return np.zeros((2, 4))

    broken = replace(lenses(), video=Broken())
    with pytest.raises(DataError, match=r"expected: 1 rows(.|\n)*\[2, 4\]"):
        look(rollouts, methods_of(rollouts.index), clips(rollouts), broken)
