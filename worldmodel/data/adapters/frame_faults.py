"""What is wrong with a sequence of video frames, told from thumbnails [T, h, w, 3] by plain differences.

The difference of two frames is their mean absolute difference in grey levels of 255. Neighbouring frames of a drive at
30 Hz differ by 1 to 12 levels, a frame and its copy in another file by less than 1 (measured on thumbnails of H.264).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CONSTANT = 1.0  # a standard deviation below this, in every channel, is one colour
FAR = 10.0  # smallest difference of an odd frame to its neighbours
FAR_TIMES = 2.0  # and how many times that of the frames around it
JUMP_TIMES = 3.0  # how many times the usual difference makes another place
STILL = 2.0  # differences below this say nothing about the order of frames

Thumbnails = NDArray[np.uint8]
Seam = Literal["doubled", "goes on", "jumps"]


def difference(a: Thumbnails, b: Thumbnails) -> float:
    """Mean absolute difference of two frames, in grey levels."""
    return float(np.abs(a.astype(np.float32) - b).mean())


def first_is_odd(frames: Thumbnails) -> bool:
    """Whether frame 0 has one colour only, or is far from frame 1 while frame 1 is near frame 2."""
    if is_constant(frames[0]):
        return True
    if len(frames) < 3:
        return False
    return difference(frames[0], frames[1]) > max(FAR, FAR_TIMES * difference(frames[1], frames[2]))


def odd_frame(frames: Thumbnails) -> int | None:
    """The first frame of one colour only, or far from both neighbours while these are near one another."""
    if first_is_odd(frames):
        return 0
    for t in range(1, len(frames)):
        if is_constant(frames[t]):
            return t
        if t + 1 < len(frames):
            apart = min(difference(frames[t], frames[t - 1]), difference(frames[t], frames[t + 1]))
            if apart > max(FAR, FAR_TIMES * difference(frames[t - 1], frames[t + 1])):
                return t
    return None


def is_constant(frame: Thumbnails) -> bool:
    """Whether a frame has one colour only."""
    return bool(frame.std((0, 1)).max() < CONSTANT)


def judge_seam(ends: Sequence[tuple[Thumbnails, Thumbnails]]) -> tuple[Seam, int | None]:
    """How a chunk of video goes over into the next one, by all cameras.

    Args:
        ends: for each camera, the last two frames of the one chunk and the first two of the other.

    Returns:
        `doubled` where the other chunk begins on the last frame of the one, `goes on` where it begins on the next
        frame, `jumps` where it begins elsewhere; and a camera that moves and says otherwise, if there is one. A scene
        that stands still counts as doubled where the frames are alike.
    """
    steps = np.array([min(difference(*before), difference(*after)) for before, after in ends])
    across = np.array([difference(before[1], after[0]) for before, after in ends])
    repeats = across < 0.5 * np.maximum(steps, STILL)
    voters = steps >= STILL if (steps >= STILL).any() else np.ones(len(ends), bool)
    doubled = 2 * int(repeats[voters].sum()) >= int(voters.sum())
    contrary = np.flatnonzero(voters & (repeats != doubled))
    jumps = across.sum() > JUMP_TIMES * np.maximum(steps, STILL).sum()
    seam: Seam = "doubled" if doubled else "jumps" if jumps else "goes on"
    return seam, int(contrary[0]) if contrary.size else None
