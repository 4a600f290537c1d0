import pytest

from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.errors import DataError


def test_twenty_frames_at_stride_five_are_storms_protocol() -> None:
    assert context_frames(20, 5) == (0, 5, 10, 15)
    assert len(target_frames(20, 5)) == 16


def test_three_frames_have_the_middle_one_as_target() -> None:
    assert context_frames(3, 5) == (0, 2)
    assert target_frames(3, 5) == (1,)


def test_of_two_frames_the_second_is_the_target() -> None:
    assert (context_frames(2, 5), target_frames(2, 5)) == ((0,), (1,))


@pytest.mark.parametrize("n_frames", range(3, 30))
@pytest.mark.parametrize("stride", [2, 3, 5, 8])
def test_context_and_targets_part_the_clip(n_frames: int, stride: int) -> None:
    context, targets = context_frames(n_frames, stride), target_frames(n_frames, stride)
    assert sorted(context + targets) == list(range(n_frames))
    assert len(context) >= 2 and targets


@pytest.mark.parametrize(("n_frames", "stride", "message"), [(1, 5, "too short"), (20, 1, "no target frame")])
def test_what_leaves_no_target_is_refused(n_frames: int, stride: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        target_frames(n_frames, stride)
