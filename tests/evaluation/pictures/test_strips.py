import numpy as np

from evaluation.pictures.strips import DEPTH_RANGE_M, GAP_PX, depth_colours, error_colours, strip, strip_width


def test_a_strip_repeats_whole_pixels_and_leaves_white_gaps():
    images = np.random.default_rng(0).integers(0, 200, (3, 4, 5, 3), dtype=np.uint8)
    wide = strip(images, 2)
    assert wide.shape == (8, strip_width(3, 5, 2), 3) == (8, 30 + 2 * GAP_PX, 3)
    np.testing.assert_array_equal(wide[::2, :10:2], images[0])
    np.testing.assert_array_equal(wide[1::2, 10 + GAP_PX : 20 + GAP_PX : 2], images[1])
    assert (wide[:, 10 : 10 + GAP_PX] == 255).all()


def test_no_error_is_black_and_more_error_is_brighter():
    truth = np.zeros((1, 3, 3))
    predicted = np.array([[[0.0] * 3, [0.2] * 3, [0.4] * 3]])
    brightness = error_colours(predicted, truth)[0].astype(int).sum(-1)
    assert brightness[0] < 10 and brightness[0] < brightness[1] < brightness[2]


def test_near_is_red_far_is_blue_and_nothing_is_grey():
    near, far, nothing, fault = depth_colours(np.array([DEPTH_RANGE_M[0] * 1.5, DEPTH_RANGE_M[1] * 0.7, 0.0, np.nan]))
    assert near[0] > near[2] and far[2] > far[0]
    assert len(set(nothing.tolist())) <= 3 and (nothing > 230).all() and (fault == nothing).all()


def test_depth_beyond_the_range_is_shown_as_its_end():
    colours = depth_colours(np.array([0.1, DEPTH_RANGE_M[0], DEPTH_RANGE_M[1], 1e6]))
    assert (colours[0] == colours[1]).all() and (colours[2] == colours[3]).all()
