"""Do the cameras of a clip see the same colours where they see the same surfaces?

LiDAR depth is made from points and calibration, so it agrees with both however the images were assigned: only colour
tells that two cameras' images were exchanged. Pixels of one camera are carried into another at the same time with
`flows.checks.depth`; where both see the surface, their brightness is correlated over the whole clip (a correlation,
because exposures differ). Each camera is given its best partner, because sparse depth says little about some overlaps,
and the camera with the worst of these counts. A swap in a few frames only moves it little.
"""

import itertools

import numpy as np

from flows.checks.depth import View, anchor_frames, land, lift
from worldmodel.data.schema import Clip
from worldmodel.geometry.poses import Float

MIN_COMPARED = 200  # pixels of a pair of cameras in the whole clip
SAME_SURFACE = 0.1  # largest relative difference of z and stored depth


def image_agreement(clip: Clip) -> float | None:
    """Correlation in [-1, 1] of the camera that agrees least with its best partner; None if no two overlap."""
    best: dict[int, float] = {}
    for a, b in itertools.combinations(range(len(clip.cameras)), 2):
        correlation = _correlation(clip, a, b)
        if correlation is not None:
            best |= {camera: max(correlation, best.get(camera, -1.0)) for camera in (a, b)}
    return min(best.values(), default=None)


def _correlation(clip: Clip, a: int, b: int) -> float | None:
    there = [_brightness(clip, (t, a), (t, b)) for t in anchor_frames(clip)]
    back = [_brightness(clip, (t, b), (t, a))[::-1] for t in anchor_frames(clip)]
    values = np.concatenate(there + back, axis=1)
    if values.shape[1] < MIN_COMPARED or np.ptp(values, axis=1).min() == 0:
        return None
    return float(np.asarray(np.corrcoef(values))[0, 1])


def _brightness(clip: Clip, source: View, target: View) -> Float:
    """Brightness [2, P] of the surfaces that both views see, in the source and in the target."""
    pixels, world = lift(clip, source)
    landed = land(clip, target, world)
    same = (landed.depth > 0) & (np.abs(landed.z - landed.depth) <= SAME_SURFACE * landed.depth)
    rows, columns = pixels[landed.inside][same].T
    x, y = landed.pixels[same].astype(int).T
    return np.stack([clip.rgb[source][rows, columns].mean(-1), clip.rgb[target][y, x].mean(-1)])
