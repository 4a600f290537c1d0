"""A Fréchet distance without the bias of few rows: the line through its values at fewer logs, read off at 1/n = 0.

Chong and Forsyth (2020, section 3) do so with images; here whole logs are left out, for rows of one log are not
independent. Measured on normal features of 400 dimensions with the spectrum of I3D's logits of generated driving, two
sets of one distribution, a row a log: of the distance, a bias, the line leaves 55 % at 21 logs, 37 % at 42, 20 % at 84,
8 % at 150 and 1 % at 300. Below `FEWEST_LOGS` it would be read as more than it is, and there is none.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.distance_intervals import Distance, LogRows

FEWEST_LOGS = 100
SHARES = (0.5, 0.6, 0.7, 0.85)
DRAWS = 8


def at_infinity(distance: Distance, reference: LogRows, generated: LogRows, seed: int) -> float | None:
    """The distance that endless rows would have, or None below `FEWEST_LOGS` logs on either side.

    Args:
        distance: whose bias falls as 1/n: `frechet`.
        reference: rows to compare with.
        generated: rows of the method.
        seed: of the draws of logs, which are without replacement.
    """
    if min(len(set(reference.logs)), len(set(generated.logs))) < FEWEST_LOGS:
        return None
    rng = np.random.default_rng(seed)
    everything = (len(generated.logs), distance(reference.values, generated.values))
    points = [everything] * DRAWS
    for share in SHARES:
        for _ in range(DRAWS):
            ours, theirs = _some(reference, share, rng), _some(generated, share, rng)
            points.append((len(theirs), distance(ours, theirs)))
    sizes, values = np.array(points, dtype=np.float64).T
    return float(np.polynomial.Polynomial.fit(1 / sizes, values, 1)(0.0))


def _some(rows: LogRows, share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The rows of this share of the logs."""
    names: Sequence[str] = sorted(set(rows.logs))
    drawn = rng.choice(len(names), round(share * len(names)), replace=False)
    values: NDArray[np.float64] = rows.values[np.isin(rows.logs, [names[i] for i in drawn])]
    return values
