"""How the ego moved, per latent frame: what the generator is told in numbers beside the layout."""

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.poses import Float, invert_pose
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE

EGO_VALUES = 6


def ego_motion(world_from_ego: Float | None, times_s: Float) -> NDArray[np.float32]:
    """The motion of each latent frame's time, in the ego frame (x forward, y left, turning left positive).

    Args:
        world_from_ego: [T, 4, 4] with T = 1 + 4k > 1, or None where it is not known.
        times_s: [T], increasing.

    Returns:
        [1 + k, 6]: forward speed (m/s, negative in reverse), yaw rate (rad/s), displacement forward and left (m) and
        turn (rad) since the end of the latent frame before, and 1. Speeds are means over the latent frame's four steps;
        the first latent frame, which has no frame before it, has those of the step after it and no displacement.
        All zeros where the poses are not known.
    """
    n_latents = 1 + (len(times_s) - 1) // TEMPORAL_STRIDE
    if world_from_ego is None:
        return np.zeros((n_latents, EGO_VALUES), np.float32)
    steps = _relative(world_from_ego[:-1], world_from_ego[1:])
    ends = world_from_ego[::TEMPORAL_STRIDE]
    jumps = _relative(ends[:-1], ends[1:])
    travelled = np.concatenate([steps[:1, 0], steps[:, 0].reshape(-1, TEMPORAL_STRIDE).sum(1)])
    turned = np.concatenate([steps[:1, 2], steps[:, 2].reshape(-1, TEMPORAL_STRIDE).sum(1)])
    seconds = np.concatenate([times_s[1:2] - times_s[:1], np.diff(times_s[::TEMPORAL_STRIDE])])
    jumps = np.concatenate([np.zeros((1, 3)), jumps])
    motion = np.column_stack([travelled / seconds, turned / seconds, jumps, np.ones(n_latents)])
    return motion.astype(np.float32)


def _relative(world_from_a: Float, world_from_b: Float) -> Float:
    """[N, 3]: b's x, y and yaw in the frame of a."""
    a_from_b = invert_pose(world_from_a) @ world_from_b
    yaw = np.arctan2(a_from_b[:, 1, 0], a_from_b[:, 0, 0])
    return np.column_stack([a_from_b[:, 0, 3], a_from_b[:, 1, 3], yaw])
