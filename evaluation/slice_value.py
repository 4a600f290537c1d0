"""One metric over the clips of a slice: the same record for renders and for generated videos."""

from pydantic import Field

from evaluation.base import Direction, Interval, Record


class SliceValue(Record):
    """One metric over the clips of a slice, `dimension=value`; of a method's videos, or of reconstruction (null).

    Below `min_clips` it says too little to be judged, and is there to be looked at.
    """

    slice: str
    metric: str
    method: str | None = None
    unit: str
    direction: Direction
    value: float
    n_clips: int = Field(ge=1)
    n_logs: int = Field(ge=1)
    min_clips: int = Field(ge=1)
    ci95: Interval | None
    no_interval: str | None = None
