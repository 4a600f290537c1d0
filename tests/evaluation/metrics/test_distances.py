import numpy as np
import pytest
from scipy.linalg import sqrtm

from evaluation.metrics.distances import frechet, kernel_distance, polynomial_mmd
from worldmodel.errors import DataError

SQUARE = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])
COUNT = np.arange(1.0, 10.0).reshape(3, 3)
OTHER = np.array([[7.0, 6, 5], [4, 3, 2], [1, 1, 8], [0, 2, 5]])


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(0.5, 2.0, d)


def test_a_square_and_its_double_are_32_thirds_apart() -> None:
    """Means (1, 1) and (3, 3): 8. Variances 4/3 and 16/3 in both axes: 2 (2 - 1)^2 4/3."""
    assert frechet(SQUARE, 2 * SQUARE + 1) == pytest.approx(8 + 8 / 3, rel=1e-12)


def test_along_the_axes_it_is_the_squares_of_the_shifts_and_of_the_deviations_differences() -> None:
    deviations = np.sqrt(4 / 3) * np.array([1.0, 3.0])
    found = frechet(SQUARE, SQUARE * [1, 3] + [5, 0])
    assert found == pytest.approx(25 + (1 - 3) ** 2 + (deviations[1] - deviations[0]) ** 2, rel=1e-12)


@pytest.mark.parametrize("n", [5, 40])
def test_a_set_is_nowhere_from_itself(n: int) -> None:
    a = normal(n, 12, 0)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_rotating_and_shifting_both_changes_nothing_and_scaling_squares() -> None:
    a, b = normal(20, 6, 0), normal(15, 6, 1)
    rotation, _ = np.linalg.qr(normal(6, 6, 2))
    assert frechet(a @ rotation + 3, b @ rotation + 3) == pytest.approx(frechet(a, b), rel=1e-10)
    assert frechet(4 * a, 4 * b) == pytest.approx(16 * frechet(a, b), rel=1e-10)


@pytest.mark.parametrize(("n", "m", "tolerance"), [(50, 30, 1e-8), (6, 5, 1e-4), (30, 5, 1e-4)])
def test_it_is_what_a_matrix_root_gives_at_full_and_at_low_rank(n: int, m: int, tolerance: float) -> None:
    a, b = normal(n, 10, 0), normal(m, 10, 1) + 0.3
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1] + (0 if min(n, m) > 10 else 1e-13) * np.eye(10))
    shift = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected = shift + np.trace(covariances[0] + covariances[1]) - 2 * np.trace(root).real
    assert frechet(a, b) == pytest.approx(expected, rel=tolerance)


def test_the_polynomial_mmd_is_that_of_jedis_example() -> None:
    assert polynomial_mmd(COUNT, OTHER, degree=2, gamma=1.0, offset=0.0, unbiased=False) == pytest.approx(2436.5)
    third = polynomial_mmd(COUNT, OTHER, degree=2, gamma=1 / 3, offset=0.0, unbiased=False)
    assert third == pytest.approx(270.7222, abs=1e-4)


def test_the_kernel_distance_by_hand() -> None:
    """Kernel (xy + 1)^3 in one dimension, rows 0, 1 and 1, 2: 1 + 27 - 2 (1 + 1 + 8 + 27) / 4."""
    assert kernel_distance(np.array([[0.0], [1]]), np.array([[1.0], [2]])) == pytest.approx(1 + 27 - 18.5)


def test_the_kernel_distance_divides_the_inner_product_by_the_width() -> None:
    """Two dimensions: rows (0, 0), (1, 1) have inner products 0 and 2, the same kernels as above after dividing."""
    a, b = np.array([[0.0, 0], [1, 1]]), np.array([[1.0, 1], [2, 2]])
    assert kernel_distance(a, b) == pytest.approx(9.5)


def test_over_draws_of_one_distribution_the_kernel_distance_is_zero_on_average() -> None:
    draws = [kernel_distance(normal(8, 5, 2 * i), normal(8, 5, 2 * i + 1)) for i in range(400)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / 20
    assert min(draws) < 0


@pytest.mark.parametrize("distance", [frechet, kernel_distance])
@pytest.mark.parametrize(
    ("a", "what"),
    [
        (np.ones((1, 2)), "two sets"),
        (np.ones((3, 5)), "two sets"),
        (np.ones(2), "two sets"),
        (np.array([[0.0, np.nan], [1, 1]]), "not finite"),
    ],
)
def test_sets_that_have_no_distance_are_refused(distance, a: np.ndarray, what: str) -> None:
    with pytest.raises(DataError, match=what):
        distance(a, SQUARE)
