"""How often each source of data is seen."""

from collections.abc import Sequence

import numpy as np


def clip_weights(sources: Sequence[str], min_share: float) -> np.ndarray:
    """Probability of each clip: uniform, but every source gets `min_share` at least (or an equal share, if less)."""
    names, inverse, counts = np.unique(np.asarray(sources), return_inverse=True, return_counts=True)
    shares = counts / counts.sum()
    floor = min(min_share, 1 / len(names))
    low = shares < floor
    shares = np.where(low, floor, shares * (1 - floor * low.sum()) / max(shares[~low].sum(), 1e-12))
    return np.asarray((shares / counts)[inverse])
