"""Which frames of a clip a reconstruction model sees (context) and which it must render (target).

The protocol is STORM's (Yang et al. 2025, arXiv:2501.00602): every `stride`-th frame is context and every other frame
is a target, so a clip of 20 frames with stride 5 has context 0, 5, 10, 15 and 16 targets. A clip shorter than the
stride shrinks the stride to its last frame: 3 frames give context 0 and 2, target 1; 2 frames context 0, target 1.
"""

from worldmodel.errors import DataError


def context_frames(n_frames: int, stride: int) -> tuple[int, ...]:
    """Frames the model sees.

    Raises:
        DataError: a clip of fewer than two frames (it would have no target), or a stride below two.
    """
    if n_frames < 2:
        raise DataError(
            "a clip is too short to reconstruct",
            expected="at least 2 frames: one context, one target",
            got=f"{n_frames} frame(s)",
        )
    if stride < 2:
        raise DataError("the context stride leaves no target frame", expected="a stride of at least 2", got=str(stride))
    return tuple(range(0, n_frames, max(2, min(stride, n_frames - 1))))


def target_frames(n_frames: int, stride: int) -> tuple[int, ...]:
    """Frames the model must render: all that are not context. Raises like `context_frames`."""
    context = context_frames(n_frames, stride)
    return tuple(t for t in range(n_frames) if t not in context)
