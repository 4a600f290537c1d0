import numpy as np
import pytest

from tests.worldmodel.data.adapters.conftest import Frames, drive
from worldmodel.data.adapters.frame_faults import difference, first_is_odd, is_constant, judge_seam, odd_frame


def test_the_difference_is_the_mean_in_grey_levels() -> None:
    a, b = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 7, np.uint8)
    b[0, 0] = 3
    assert difference(a, b) == difference(b, a) == 6


CORRUPTIONS = {
    "black": lambda frame: frame * 0,
    "blue": lambda frame: frame * np.array([0, 0, 1], np.uint8),
    "teal": lambda frame: frame * np.array([0, 1, 1], np.uint8),
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corrupt_first_frame_is_told_from_a_sound_one(kind: str) -> None:
    frames = drive(0, 0, 4)
    assert not first_is_odd(frames) and odd_frame(frames) is None
    frames[0] = CORRUPTIONS[kind](frames[0])
    assert first_is_odd(frames) and odd_frame(frames) == 0


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_corrupt_frame_among_sound_ones_is_found(kind: str) -> None:
    frames = drive(0, 0, 8)
    frames[4] = CORRUPTIONS[kind](frames[4])
    assert odd_frame(frames) == 4


def test_a_cut_to_another_place_is_no_corrupt_frame() -> None:
    assert odd_frame(np.concatenate([drive(0, 0, 4), drive(1, 40, 4)])) is None


def test_one_colour_in_every_channel_is_constant() -> None:
    frame = np.full((4, 4, 3), (0, 90, 100), np.uint8)
    assert is_constant(frame) and first_is_odd(frame[None])
    frame[:2, :, 2] = 90
    assert not is_constant(frame)


def ends(camera: int, first_of_next: int) -> tuple[Frames, Frames]:
    """The last frames, 8 and 9, of a chunk and the first ones of the next."""
    return drive(camera, 8, 2), drive(camera, first_of_next, 2)


def still() -> tuple[Frames, Frames]:
    return drive(0, 0, 1).repeat(2, 0), drive(0, 0, 1).repeat(2, 0)


def test_a_seam_repeats_a_frame_goes_on_or_jumps() -> None:
    assert judge_seam([ends(0, 9), ends(1, 9)]) == ("doubled", None)
    assert judge_seam([ends(0, 10), ends(1, 10)]) == ("goes on", None)
    assert judge_seam([ends(0, 24), ends(1, 24)]) == ("jumps", None)


def test_a_camera_out_of_step_is_named() -> None:
    assert judge_seam([ends(0, 9), ends(1, 9), ends(2, 10)]) == ("doubled", 2)
    assert judge_seam([ends(0, 10), ends(1, 9), ends(2, 10)]) == ("goes on", 1)


def test_what_stands_still_is_taken_to_repeat_and_leaves_the_word_to_cameras_that_move() -> None:
    assert judge_seam([still()]) == ("doubled", None)
    assert judge_seam([still(), ends(1, 10)]) == ("goes on", None)
