from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from evaluation.config import EvaluateConfig
from evaluation.pictures import draw_pictures
from evaluation.pictures.films import films_of
from evaluation.pictures.filmstrip import shown_frames
from evaluation.pictures.movie import pages, write_mp4
from evaluation.pictures.preview import LARGEST_BYTES
from evaluation.protocols import PRESETS
from evaluation.suite import evaluate
from tests.evaluation.generation.toy import (
    FRAMES,
    METHODS,
    PRESET,
    ToyVideoNetworks,
    clips,
    open_rollouts,
    write_rollouts,
)

CONFIG = EvaluateConfig(protocol="debug", bootstrap_resamples=100, picture_width_px=700, video_scale=2)
NAMES = {
    "generation-methods-synthetic.png",
    "generation-psnr-by-time-synthetic.png",
    "generation-strip-synthetic.png",
    "generation-synthetic.mp4",
    "generation-preview-synthetic.png",
}


@pytest.fixture(scope="module", autouse=True)
def short_videos():
    """The debug protocol, for videos as short as these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "debug", PRESETS["debug"].model_copy(update={"generation": PRESET}))
        yield


@pytest.fixture(scope="module")
def made(write_measured, tmp_path_factory):
    """A report on generated videos alone, what it was made of, and its pictures by name."""
    root = tmp_path_factory.mktemp("videos")
    measured = write_measured(root, *clips(4, 4))
    rollout = write_rollouts(root / "rollout", measured.prepare)
    measured = replace(measured, reconstruct=None, rollout=rollout, networks=ToyVideoNetworks())
    report = evaluate(measured, CONFIG, 0)
    return report, measured, {path.name: path for path in draw_pictures(report, measured, CONFIG, root / "pictures")}


@pytest.fixture
def rollouts(made):
    return open_rollouts(made[1].rollout, made[1].prepare)


def test_there_is_a_chart_of_each_question_a_strip_a_video_and_a_preview(made):
    _, _, pictures = made
    assert set(pictures) == NAMES == {path.name for path in pictures["generation-synthetic.mp4"].parent.iterdir()}
    assert pictures["generation-preview-synthetic.png"].stat().st_size <= LARGEST_BYTES
    with Image.open(pictures["generation-preview-synthetic.png"]) as image:
        assert image.n_frames == FRAMES and image.is_animated


def test_the_same_evaluation_gives_the_same_bytes(made, tmp_path):
    report, measured, pictures = made
    for path in draw_pictures(report, measured, CONFIG, tmp_path):
        assert path.read_bytes() == pictures[path.name].read_bytes(), path.name


def test_the_video_is_h264_that_browsers_play_and_bears_no_date(made):
    with av.open(made[2]["generation-synthetic.mp4"]) as video:
        (stream,) = video.streams
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", FRAMES)
        assert float(stream.average_rate) == 10.0
        assert stream.width % 2 == 0 == stream.height % 2
        assert not {"creation_time", "encoder"} & set(video.metadata)


def test_the_encoder_is_set_so_that_its_bytes_repeat(made):
    """x264 writes its settings into the stream; with more threads or the macroblock tree its bytes vary."""
    settings = made[2]["generation-synthetic.mp4"].read_bytes()
    assert b" mbtree=0 " in settings and b" threads=1 " in settings


def test_a_video_shows_the_pixels_it_was_given(tmp_path):
    colours = [np.full((32, 48, 3), colour, np.uint8) for colour in (30, 200)]
    write_mp4(tmp_path / "grey.mp4", colours, 10.0)
    with av.open(tmp_path / "grey.mp4") as video:
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert [abs(int(image.mean()) - value) <= 3 for image, value in zip(shown, (30, 200), strict=True)] == [True, True]


def test_clips_go_from_the_worst_to_the_best_with_methods_side_by_side(made, rollouts):
    group = made[0].generation[0]
    films = films_of(group, rollouts, 3)
    assert [film.rank for film in films] == ["worst clip", "clip 3 of 4 from the worst", "best clip"]
    names = [track.name for track in films[0].tracks]
    assert names == ["true", "tokenizer", "teacher_forcing", "dmd", "repeat_last_frame"]
    dmd = [film.tracks[3].psnr for film in films]
    assert dmd == sorted(dmd)
    value = {clip.sample_id: clip.value for clip in group.metric("dmd", "video/psnr").per_clip}
    assert dmd[0] == pytest.approx(value[films[0].sample.sample_id])


def test_a_page_is_of_even_size_and_shows_the_frame_of_its_time(made, rollouts):
    films = films_of(made[0].generation[0], rollouts, 1)
    shown = list(pages(films, 10.0, 3))
    assert len(shown) == FRAMES and all(side % 2 == 0 for side in shown[0].shape[:2])
    truth = films[0].tracks[0].video[5].repeat(3, 0).repeat(3, 1)
    windows = np.lib.stride_tricks.sliding_window_view(shown[5], truth.shape)
    assert (windows[:, :12, 0] == truth).all((2, 3, 4)).any()


@pytest.mark.parametrize(("frames", "shown"), [(17, [0, 3, 6, 10, 13, 16]), (3, [0, 1, 2]), (2, [0, 1])])
def test_a_strip_runs_from_the_given_frame_to_the_last(frames, shown):
    assert shown_frames(frames) == shown


def test_without_a_model_there_are_charts_but_no_films(made, tmp_path):
    _, measured, _ = made
    only = {"repeat_last_frame": METHODS["repeat_last_frame"]}
    root = write_rollouts(tmp_path / "rollout", measured.prepare, only)
    measured = replace(measured, rollout=root, networks=ToyVideoNetworks())
    drawn = draw_pictures(evaluate(measured, CONFIG, 0), measured, CONFIG, tmp_path / "pictures")
    assert {path.name for path in drawn} == {name for name in NAMES if "methods" in name or "time" in name}
