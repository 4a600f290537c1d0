import pytest

from evaluation.generation.spans import Span, spans_of
from evaluation.protocols import GenerationPreset


def preset(**fields):
    return GenerationPreset(rate_hz=10.0, **fields)


@pytest.mark.parametrize(
    ("fields", "frames", "expected"),
    [
        ({"window": 16}, 17, [Span(1, 16)]),
        ({"window": 16}, 81, [Span(1, 16), Span(17, 32), Span(33, 48), Span(49, 64), Span(65, 80)]),
        ({"window": 16}, 16, []),
        ({"window": 25, "given_counts": True}, 25, [Span(0, 24)]),
        ({"window": 25, "given_counts": True}, 51, [Span(0, 24), Span(25, 49)]),
    ],
)
def test_windows_follow_one_another_from_behind_the_given_frame_or_from_it(fields, frames, expected):
    assert spans_of(preset(**fields), frames) == expected


def test_images_are_every_so_many_frames_and_never_the_given_one():
    assert Span(1, 16).images(8) == (8, 16)
    assert Span(17, 32).images(8) == (24, 32)
    assert Span(0, 4).images(1) == (1, 2, 3, 4)
    assert Span(1, 16).images(0) == Span(1, 6).images(8) == ()
    assert Span(1, 3).frames == (1, 2, 3)
