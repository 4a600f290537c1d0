"""Action following: whether the camera of a generated video moves as it was told to.

The path is read from the video (`alignment`, on the true depth of the given frame) and compared with the path that was
asked for, over a horizon of at most `HORIZON_S`. Following is 1 - |path - asked| / |asked| over the positions of the
camera at the horizon's frames (root mean squares), 0 at worst: a repeated frame moves nowhere and scores 0.
The yaw error is the root mean square of the angle about the vertical by which headings differ.

The true frames follow the path by definition, so what they score is this measure's own error. The horizon of a clip is
the longest at which that error is within `FOLLOWING_ERROR` and `YAW_ERROR_DEG`; a clip without such a horizon (one that
stands still, fog) is not measured. Methods have no part in that choice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.alignment import GivenView, camera_path
from worldmodel.geometry.poses import Float, invert_pose

HORIZON_S = 1.0
SHORTEST_S = 0.5
SHORTEST_PATH_M = 1.0
FOLLOWING_ERROR = 0.1
YAW_ERROR_DEG = 2.0
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Command:
    """What one camera was told to do from frame 0 to the horizon.

    Attributes:
        path: [1 + h, 4, 4], camera_0 from camera_t, in metres.
        up: [1 + h, 3], the vertical in each camera's axes.
        view: what is known of frame 0.
    """

    path: Float
    up: Float
    view: GivenView

    def errors(self, video: NDArray[np.uint8]) -> tuple[float, float]:
        """Following (1 is best, 0 at worst) and yaw error in degrees, of a video [T, H, W, 3] with T > h."""
        path = camera_path(video[: len(self.path)], self.view)
        return max(0.0, 1.0 - relative_error(path, self.path)), yaw_error_deg(path, self.path, self.up)


def command(world_from_camera: Float, times_s: Float, view: GivenView, truth: NDArray[np.uint8]) -> Command | str:
    """What a camera was told to do, for as long as it can be measured; or why it cannot.

    Args:
        world_from_camera: the recorded path [T, 4, 4]; world z is up.
        times_s: [T].
        view: what is known of frame 0.
        truth: the recorded frames [T, H, W, 3], which say how far the measure can be trusted.
    """
    within = times_s - times_s[0] <= HORIZON_S + _ROUNDING_S
    asked = (invert_pose(world_from_camera[:1]) @ world_from_camera)[within]
    up = world_from_camera[within, 2, :3]
    moved = float(np.linalg.norm(asked[:, :3, 3], axis=1).max())
    if moved < SHORTEST_PATH_M:
        return f"the camera moves less than {SHORTEST_PATH_M:g} m in {HORIZON_S:g} s"
    recovered = camera_path(truth[within], view)
    for last in range(len(asked) - 1, 0, -1):
        if times_s[last] - times_s[0] < SHORTEST_S - _ROUNDING_S:
            break
        here = slice(0, last + 1)
        far = np.linalg.norm(asked[last, :3, 3]) >= SHORTEST_PATH_M
        exact = relative_error(recovered[here], asked[here]) <= FOLLOWING_ERROR
        if far and exact and yaw_error_deg(recovered[here], asked[here], up[here]) <= YAW_ERROR_DEG:
            return Command(asked[here], up[here], view)
    return f"the path cannot be read from {SHORTEST_S:g} s of the true frames either"


def relative_error(path: Float, asked: Float) -> float:
    """Root mean square distance of the positions of poses [T, 4, 4] to those asked for, over that of these to 0."""
    off = np.sum((path[1:, :3, 3] - asked[1:, :3, 3]) ** 2)
    return float(np.sqrt(off / np.sum(asked[1:, :3, 3] ** 2)))


def yaw_error_deg(path: Float, asked: Float, up: Float) -> float:
    """Root mean square over frames of the turn about `up` [T, 3] between poses [T, 4, 4], the first left out."""
    between = np.swapaxes(asked[1:, :3, :3], -1, -2) @ path[1:, :3, :3]
    twist = np.stack([between[:, i, j] - between[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1)
    angles = 2 * np.arctan2(np.sum(twist * up[1:], -1), 1 + np.trace(between, axis1=1, axis2=2))
    return float(np.degrees(np.sqrt(np.mean(angles**2))))
