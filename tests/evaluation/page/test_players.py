import pytest

from evaluation.generation.rollouts import Rollouts, read_rollouts
from evaluation.page.players import Budget, render_players, video_players
from evaluation.renders import read_index
from worldmodel.data.shards import ClipStore

BUDGET = Budget(clips=2, largest_bytes=10**6)


@pytest.fixture(scope="module")
def renders(evaluated):
    report, measured = evaluated.report, evaluated.measured
    index, store = read_index(measured.reconstruct), ClipStore(measured.prepare)
    return render_players(report, report.group("synthetic", "test"), index, store, measured.reconstruct, BUDGET)


@pytest.fixture(scope="module")
def videos(evaluated):
    report, measured = evaluated.report, evaluated.measured
    rollouts = Rollouts(measured.rollout, read_rollouts(measured.rollout), ClipStore(measured.prepare))
    return video_players(report, report.generated("synthetic", "test"), rollouts, BUDGET)


def test_a_reconstructed_clip_shows_truth_render_and_error_a_row_a_camera(renders):
    assert [player.heading.rank for player in renders] == ["worst clip", "best clip"]
    worst = renders[0]
    assert [picture.label for picture in worst.pictures] == [
        *("left: recorded", "render", "error"),
        *("right: recorded", "render", "error"),
    ]
    assert worst.columns == 3 and [picture.place.y for picture in worst.pictures] == [0, 0, 0, 48, 48, 48]
    assert worst.heading.times == (
        "frame 1, 0.1 s",
        "frame 2, 0.2 s",
        "frame 3, 0.3 s",
        "frame 4, 0.4 s",
        "frame 6, 0.6 s",
    )


def test_the_notes_of_a_clip_are_its_values_in_the_report(evaluated, renders):
    metric = evaluated.report.group("synthetic", "test").metric("image/psnr")
    (value,) = [clip.value for clip in metric.per_clip if clip.clip_id == renders[0].heading.clip_id]
    notes = [float(picture.note.split()[0]) for picture in renders[0].pictures if picture.note]
    assert sum(notes) / 2 == pytest.approx(value, abs=0.06)


def test_a_generated_clip_shows_truth_tokenizer_model_baseline_and_error(videos):
    worst = videos[0]
    assert [(picture.label, picture.style) for picture in worst.pictures] == [
        ("recorded", "truth"),
        ("recorded, through the tokenizer", "oracle"),
        ("DMD, 4 steps", "model"),
        ("first frame repeated", "baseline"),
        ("error of DMD, 4 steps", "error"),
    ]
    assert worst.heading.times[:2] == ("given frame", "0.1 s") and len(worst.heading.times) == 7


def test_curves_are_of_every_measured_frame_and_the_given_one_has_none(videos):
    for curve in videos[0].curves:
        places = [float(point.split()[0]) for point in curve.path[1:].split("L")]
        assert places == pytest.approx([100 * t / 6 for t in range(1, 7)], abs=0.01)
        assert all(0 <= float(point.split()[1]) <= 40 for point in curve.path[1:].split("L"))


def test_a_clip_names_the_slices_that_it_is_in(renders):
    assert {"light: day", "weather: clear"} <= set(renders[0].heading.facts)
