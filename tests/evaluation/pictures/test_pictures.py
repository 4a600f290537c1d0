from dataclasses import replace

import pytest
from PIL import Image

from evaluation.config import EvaluateConfig
from evaluation.pictures import draw_pictures
from evaluation.pictures.preview import LARGEST_BYTES
from evaluation.suite import evaluate
from evaluation.training import History

CLIPS = [{"log": f"log-{i}", "noise": 0.02 + 0.05 * i} for i in range(3)]
STREET = {"log": "street", "source": "dgp_street", "split": "train", "same_log": True, "n_frames": 3}
BARE = {"lidar": True, "masks": False}
HISTORY = History(
    loss=tuple((10 * i, 1.0 / i) for i in range(1, 60)),
    val_psnr=((300, 17.0), (600, 18.5)),
    val_psnr_nearest=((300, 16.0), (600, 16.0)),
)
CONFIG = EvaluateConfig(protocol="debug", picture_width_px=900, overview_samples=2, bootstrap_resamples=100)


def drawn(paths, out, history=HISTORY):
    paths = replace(paths, history=history)
    report = evaluate(paths, CONFIG, 0)
    return {path.name: path for path in draw_pictures(report, paths, CONFIG, out)}


@pytest.fixture(scope="module")
def pictures(write_measured, tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    return drawn(write_measured(root, *CLIPS, STREET | BARE), root / "pictures")


def test_there_is_a_picture_of_each_source_and_of_each_question(pictures):
    assert set(pictures) == {
        "curve.png",
        "overview-dgp_street.png",
        "overview-synthetic.png",
        "preview.png",
        "psnr-by-clip.png",
    }
    assert {path.name for path in pictures["curve.png"].parent.iterdir()} == set(pictures)


def test_the_same_evaluation_gives_the_same_bytes_whatever_the_users_style(pictures, measured, tmp_path):
    import matplotlib

    paths = measured(*CLIPS, STREET | BARE)
    with matplotlib.rc_context({"font.size": 22, "axes.facecolor": "black", "image.cmap": "gray"}):
        again = drawn(paths, tmp_path / "pictures")
    for name, path in pictures.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_pngs_carry_no_text_such_as_dates_or_versions(pictures):
    for name, path in pictures.items():
        with Image.open(path) as image:
            image.load()
            assert not image.text, name


def test_the_preview_shows_every_target_frame_and_is_small(pictures):
    path = pictures["preview.png"]
    assert path.stat().st_size <= LARGEST_BYTES
    with Image.open(path) as image:
        assert image.n_frames == 5 and image.is_animated
        assert image.info["duration"] == 200 and image.info["loop"] == 0


def test_the_overview_keeps_to_its_width_and_shows_real_pixels(pictures):
    with Image.open(pictures["overview-synthetic.png"]) as image:
        assert 600 < image.width <= CONFIG.picture_width_px
        assert len(image.convert("RGB").getcolors(10**6)) > 500


def test_without_a_history_there_is_no_curve_and_without_clips_no_overview(measured, tmp_path):
    names = drawn(measured(sources=["synthetic"]), tmp_path / "pictures", history=None)
    assert set(names) == {"psnr-by-clip.png"}
