import numpy as np
import pytest

from evaluation.metrics.spread import seed_spread
from worldmodel.errors import DataError

STILL = np.ones((3, 4, 5), bool)


def video(level: int) -> np.ndarray:
    return np.full((3, 4, 5, 3), level, np.uint8)


def test_equal_videos_have_no_spread_and_two_grey_ones_have_their_standard_deviation():
    assert seed_spread([video(100)] * 4, STILL) == 0.0
    assert seed_spread([video(100), video(151)], STILL) == pytest.approx(0.2 / np.sqrt(2))


def test_more_seeds_of_one_spread_do_not_change_the_variance_that_is_estimated():
    rng = np.random.default_rng(0)
    videos = [rng.normal(128, 20, (3, 40, 50, 3)).astype(np.uint8) for _ in range(6)]
    still = np.ones((3, 40, 50), bool)
    assert seed_spread(videos[:2], still) == pytest.approx(seed_spread(videos, still), rel=0.02)
    assert seed_spread(videos, still) == pytest.approx(20 / 255, rel=0.02)


def test_the_given_frame_and_what_moves_do_not_count():
    other, still = video(100), STILL.copy()
    other[0], other[1:, 2] = 0, 250
    assert seed_spread([video(100), other], still) > 0
    still[1:, 2] = False
    assert seed_spread([video(100), other], still) == 0.0
    assert seed_spread([video(100), other], np.zeros_like(still)) is None


@pytest.mark.parametrize("videos", [[video(1)], [video(1), video(2)[:2]], [video(1)[:, :3], video(2)[:, :3]]])
def test_one_video_or_videos_of_unequal_sizes_are_refused(videos):
    with pytest.raises(DataError, match="seed spread"):
        seed_spread(videos, STILL)
