"""Whether the views of one scene agree: measures of the renders of all cameras at one time."""

from typing import Any

from numpy.typing import NDArray

from evaluation.metrics.catalogue import CROSS_VIEW
from evaluation.metrics.cross_view import cross_view_psnr, shared_surfaces
from worldmodel.data.correspondence import why_no_surfaces
from worldmodel.data.schema import Clip


def why_no_consistency(clip: Clip) -> str | None:
    """Why the views of this clip cannot be compared, or None if they can."""
    return "only one camera" if len(clip.cameras) < 2 else why_no_surfaces(clip)


def render_scores(clip: Clip, frame: int, images: NDArray[Any]) -> dict[str, list[tuple[str, float]]]:
    """Metrics of the renders of all cameras at one frame that no single image has.

    Args:
        clip: the true clip; `why_no_consistency` must be None for a value to be found.
        frame: of the clip.
        images: [V, H, W, 3] uint8 (or float on [0, 1]), one a camera in the clip's order: renders, or the truth itself.

    Returns:
        metric id -> (camera, value) of each camera that has one, in camera order; a camera that shares no surface with
        another is left out, and a metric that no camera has is left out (so {} for a clip without poses or depth).
    """
    if why_no_consistency(clip) is not None:
        return {}
    by_camera, values = dict(enumerate(images)), []
    for camera, name in enumerate(clip.cameras):
        shared = shared_surfaces(clip, frame, camera, [other for other in by_camera if other != camera])
        if shared:
            values.append((name, cross_view_psnr(shared, images[camera], by_camera)))
    return {CROSS_VIEW.id: values} if values else {}
