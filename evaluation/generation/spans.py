"""Which frames of a generated video a metric is of: windows for video features, every so many frames for images.

Frames are counted from the given one, which is 0.
"""

from dataclasses import dataclass

from evaluation.protocols import GenerationPreset


@dataclass(frozen=True)
class Span:
    """The frames first to last of a video, both of them in it."""

    first: int
    last: int

    @property
    def frames(self) -> tuple[int, ...]:
        """All of them: what one video feature is of."""
        return tuple(range(self.first, self.last + 1))

    def images(self, stride: int) -> tuple[int, ...]:
        """Every so many generated frames of the span, the given one never among them; 0: none."""
        return every(stride, self.first, self.last) if stride else ()


def spans_of(preset: GenerationPreset, frames: int) -> list[Span]:
    """The windows that fit into a video of so many frames, one after the other; none where it is too short."""
    first = 0 if preset.given_counts else 1
    return [Span(start, start + preset.window - 1) for start in range(first, frames - preset.window + 1, preset.window)]


def every(stride: int, first: int, last: int) -> tuple[int, ...]:
    """The multiples of stride from first to last, without 0."""
    return tuple(frame for frame in range(max(first, 1), last + 1) if frame % stride == 0)
