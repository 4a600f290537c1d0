"""Distances between two sets of feature vectors: Fréchet (FVD, FID) and kernel (KVD, KID).

The Fréchet distance is biased upwards by about 1/n (two sets of one distribution are far apart at small n), so values
compare only at equal n, beside that of true against true. The kernel distance has no such bias where rows are
independent; rows of one log are not, which raises it as well, and equally for all that share the logs.
"""

import numpy as np
from numpy.typing import NDArray

from worldmodel.errors import DataError

Matrix = NDArray[np.float64]


def frechet(a: Matrix, b: Matrix) -> float:
    """Fréchet distance of the normal distributions fitted to rows a [N, d] and b [M, d], N and M at least 2.

    |mean a - mean b|^2 + tr A + tr B - 2 tr (A B)^1/2, with covariances over N - 1 (Dowson and Landau 1982). The last
    trace is the nuclear norm of X Yᵀ, with X and Y the centred rows over the root of N - 1: exact at every rank, with
    no matrix root, no complex numbers and nothing added to the diagonal.

    Raises:
        DataError: see `kernel_distance`.
    """
    _check(a, b)
    x, y = _scatter(a), _scatter(b)
    shift = np.sum((np.mean(a, axis=0) - np.mean(b, axis=0)) ** 2)
    nuclear = np.sum(np.linalg.svd(_reduced(x) @ _reduced(y).T, compute_uv=False))
    return float(shift + np.sum(x**2) + np.sum(y**2) - 2.0 * nuclear)


def kernel_distance(a: Matrix, b: Matrix) -> float:
    """Unbiased squared maximum mean discrepancy of rows a [N, d] and b [M, d] under the kernel (x·y / d + 1)^3.

    As KID and KVD have it (Binkowski et al. 2018, eq. 4, over all rows at once). May be negative.

    Raises:
        DataError: fewer than two rows, other widths, or a number that is not finite.
    """
    return polynomial_mmd(a, b, degree=3, gamma=1.0 / a.shape[-1], offset=1.0)


def polynomial_mmd(a: Matrix, b: Matrix, *, degree: int, gamma: float, offset: float, unbiased: bool = True) -> float:
    """Squared maximum mean discrepancy under the kernel (gamma x·y + offset)^degree, of rows a [N, d] and b [M, d].

    Args:
        a: one set.
        b: the other.
        degree: of the polynomial.
        gamma: scale of the inner product.
        offset: what is added to it.
        unbiased: leaves out each row's kernel with itself.

    Raises:
        DataError: see `kernel_distance`.
    """
    _check(a, b)
    within_a, within_b, between = ((gamma * (x @ y.T) + offset) ** degree for x, y in ((a, a), (b, b), (a, b)))
    mean = _mean_off_diagonal if unbiased else np.mean
    return float(mean(within_a) + mean(within_b) - 2.0 * np.mean(between))


def _mean_off_diagonal(kernel: Matrix) -> float:
    n = len(kernel)
    return float((np.sum(kernel) - np.trace(kernel)) / (n * (n - 1)))


def _scatter(rows: Matrix) -> Matrix:
    """Centred rows X with Xᵀ X the covariance."""
    scatter: Matrix = (rows - np.mean(rows, axis=0)) / np.sqrt(len(rows) - 1)
    return scatter


def _reduced(scatter: Matrix) -> Matrix:
    """At most d rows with the same Xᵀ X, and so the same nuclear norm of products."""
    return np.asarray(np.linalg.qr(scatter, mode="r")) if scatter.shape[0] > scatter.shape[1] else scatter


def _check(a: Matrix, b: Matrix) -> None:
    shapes = f"{list(a.shape)} and {list(b.shape)}"
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise DataError("distance: not two sets of features", expected="[N, d] and [M, d], N and M >= 2", got=shapes)
    bad = int(np.sum(~np.isfinite(a).all(axis=1)) + np.sum(~np.isfinite(b).all(axis=1)))
    if bad:
        raise DataError("distance: features that are not finite", expected=f"finite {shapes}", got=f"{bad} rows")
