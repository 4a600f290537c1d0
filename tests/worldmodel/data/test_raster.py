"""The canvas: clipping at the near plane, projection and line widths, by hand."""

import numpy as np
import pytest

from worldmodel.data.raster import NEAR_M, Canvas, clip_near

RED = (255, 0, 0)
K = np.array([[20.0, 0, 24], [0, 20, 16], [0, 0, 1]])


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(K, 32, 48)


def square(z: float, half: float = 1.0) -> np.ndarray:
    return np.array([[[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]]])


def test_a_triangle_that_pierces_the_near_plane_is_cut_along_it() -> None:
    cut = clip_near(np.array([[0, 0, NEAR_M - 1], [1, 0, NEAR_M + 1], [-1, 2, NEAR_M + 1]]))
    expected = [[0.5, 0, NEAR_M], [1, 0, NEAR_M + 1], [-1, 2, NEAR_M + 1], [-0.5, 1, NEAR_M]]
    np.testing.assert_allclose(cut, expected, atol=1e-12)


def test_a_square_covers_the_pixels_that_it_projects_to(canvas: Canvas) -> None:
    """2 m wide at 10 m with a focal length of 20 px: 4 px around the principal point (24, 16)."""
    canvas.polygons(square(10.0), [RED])
    red = canvas.pixels()[..., 0].astype(float) / 255
    assert (red[14:18, 22:26] == 1).all()
    assert red[:, 24].sum() == red[16].sum() == pytest.approx(4, abs=0.51)  # PIL draws both edges


def test_what_is_drawn_later_covers_what_was_drawn_before(canvas: Canvas) -> None:
    canvas.polygons(np.concatenate([square(10.0), square(10.0, 0.5)]), [RED, (0, 0, 255)])
    assert canvas.pixels()[16, 24].tolist() == [0, 0, 255]


def test_nothing_is_drawn_of_what_lies_behind(canvas: Canvas) -> None:
    canvas.polygons(square(-5.0), [RED])
    canvas.lines(np.array([[0, 1, -5.0]]), np.array([[0, 1, -1.0]]), RED, 0.2)
    assert not canvas.pixels().any()


def test_a_line_is_as_wide_as_it_looks_and_at_least_a_pixel(canvas: Canvas) -> None:
    """Across the image at 2 m, 0.4 m wide: 4 px. At 400 m: one."""
    canvas.lines(np.array([[-3, -1, 2.0]]), np.array([[3, -1, 2.0]]), RED, 0.4)
    canvas.lines(np.array([[-300, 100, 400.0]]), np.array([[300, 100, 400.0]]), RED, 0.4)
    column = canvas.pixels()[:, 24, 0].astype(float) / 255
    assert column[:12].sum() == pytest.approx(4, abs=0.5)
    assert column[16:].sum() == pytest.approx(1, abs=0.5)


def test_a_line_that_comes_from_behind_is_drawn_from_the_near_plane_on(canvas: Canvas) -> None:
    """One metre to the right and below, towards the vanishing point: only the lower right quarter is touched."""
    canvas.lines(np.array([[1, 1, -3.0]]), np.array([[1, 1, 50.0]]), RED, 0.1)
    pixels = canvas.pixels()[..., 0]
    assert pixels[18, 26] > 0  # at 10 m
    assert not pixels[:15].any() and not pixels[:, :23].any()
