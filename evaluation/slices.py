"""Slices: the same metrics over the clips of one weather, light, region, speed, turn, dynamic share or camera.

A clip is in one slice of each dimension that is known of it; a camera's slice is over that camera's images of every
clip. Speed and turn are those of the ego over the whole clip, `dynamic` the share of its pixels inside the dynamic
mask. A slice of fewer clips than the minimum is kept, to be looked at, and never judged.
"""

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.catalogue import MetricSpec
from evaluation.report import ClipFacts, Group, SliceValue, Statistics
from evaluation.statistics import interval_over_logs, mean_over_clips, why_no_interval
from worldmodel.data.manifest import ClipRow
from worldmodel.data.schema import Clip

CAMERA = "camera"
DIMENSIONS = ("weather", "light", "region", "speed", "turn", "dynamic", CAMERA)

SPEED_EDGES_M_S = (0.5, 5.0, 10.0, 15.0)
SPEEDS = ("standing", "below 5 m/s", "5-10 m/s", "10-15 m/s", "above 15 m/s")
DYNAMIC_EDGES = (0.0, 0.01, 0.03)
DYNAMICS = ("none", "below 1 %", "1-3 %", "above 3 %")
TURN_DEG = 10.0


@dataclass(frozen=True)
class Slicing:
    """The facts of every measured clip by id, and the fewest clips that make a slice worth judging."""

    facts: Mapping[str, ClipFacts]
    min_clips: int


@dataclass(frozen=True)
class SlicedClip:
    """One value to be put into slices (None: it came out NaN), and the means over the images of each camera."""

    clip_id: str
    log_id: str
    value: float | None
    by_camera: Mapping[str, float] = field(default_factory=dict)


def clip_facts(row: ClipRow, clip: Clip) -> ClipFacts:
    """What a report says of a measured clip: its content, and its slice in each dimension that is known.

    Args:
        row: of the manifest.
        clip: with all of its frames.
    """
    tags = json.loads(row["tags"])
    named = {"weather": row["weather"], "light": row["time_of_day"], "region": tags.get("region")}
    slices = {name: str(value) for name, value in named.items() if value}
    if clip.world_from_ego is not None and len(clip.times_s) > 1:
        slices["speed"] = SPEEDS[bisect_right(SPEED_EDGES_M_S, mean_speed(clip.world_from_ego, clip.times_s))]
        slices["turn"] = _turn(clip.world_from_ego)
    if clip.dynamic is not None:
        slices["dynamic"] = DYNAMICS[bisect_left(DYNAMIC_EDGES, float(clip.dynamic.mean()))]
    return ClipFacts(
        clip_id=row["clip_id"],
        log_id=row["log_id"],
        source=row["source"],
        split=row["split"],
        same_log=row["split"] == "train",
        sha256=row["sha256"],
        pixels_sha256=hashlib.sha256(clip.rgb.tobytes()).hexdigest(),
        slices=slices,
    )


def mean_speed(world_from_ego: NDArray[np.float64], times_s: NDArray[np.float64]) -> float:
    """Length of the ego's path over its time, in m/s, of poses [T, 4, 4] at times [T], T > 1."""
    steps = np.diff(world_from_ego[:, :3, 3], axis=0)
    return float(np.linalg.norm(steps, axis=1).sum() / (times_s[-1] - times_s[0]))


def _turn(world_from_ego: NDArray[np.float64]) -> str:
    """By how far the heading is turned from the first frame to the last; z is up, so left is positive."""
    heading = np.unwrap(np.arctan2(world_from_ego[:, 1, 0], world_from_ego[:, 0, 0]))
    turned = float(np.degrees(heading[-1] - heading[0]))
    return "straight" if abs(turned) < TURN_DEG else "left" if turned > 0 else "right"


def slice_values(
    spec: MetricSpec, clips: Sequence[SlicedClip], slicing: Slicing, statistics: Statistics, method: str | None = None
) -> list[SliceValue]:
    """One metric over the clips of every slice, by dimension and then name; a slice with a NaN clip is left out.

    Args:
        spec: the metric.
        clips: a value each, of clips that `slicing` knows.
        slicing: which slices each clip is in.
        statistics: of the intervals over logs.
        method: whose videos; None: reconstruction.
    """
    members: dict[tuple[int, str], list[tuple[SlicedClip, float | None]]] = {}
    by_camera = all(clip.value is not None for clip in clips)
    for clip in clips:
        cameras = clip.by_camera if by_camera else {}
        for key, value in _places(clip.value, cameras, slicing.facts[clip.clip_id]):
            members.setdefault(key, []).append((clip, value))
    found = []
    for (dimension, name), pairs in sorted(members.items()):
        values, logs = [value for _, value in pairs if value is not None], [clip.log_id for clip, _ in pairs]
        if len(values) < len(pairs):
            continue
        found.append(
            SliceValue(
                slice=f"{DIMENSIONS[dimension]}={name}",
                metric=spec.id,
                method=method,
                unit=spec.unit,
                direction=spec.direction,
                value=mean_over_clips(values),
                n_clips=len({clip.clip_id for clip, _ in pairs}),  # two cameras of one are one
                n_logs=len(set(logs)),
                min_clips=slicing.min_clips,
                ci95=interval_over_logs(values, logs, statistics),
                no_interval=why_no_interval(logs),
            )
        )
    return found


def _places(
    value: float | None, cameras: Mapping[str, float], facts: ClipFacts
) -> list[tuple[tuple[int, str], float | None]]:
    """A clip's slices (place of the dimension in the order, name), each with the clip's value there."""
    places = [((DIMENSIONS.index(name), of), value) for name, of in facts.slices.items()]
    return places + [((DIMENSIONS.index(CAMERA), camera), mean) for camera, mean in cameras.items()]


def with_slices(group: Group, slicing: Slicing, statistics: Statistics) -> Group:
    """The group with the slices of each of its metrics over whole images."""
    found: list[SliceValue] = []
    for metric in group.metrics:
        if metric.region == "all":
            clips = [SlicedClip(c.clip_id, c.log_id, c.value, c.by_camera) for c in metric.per_clip]
            found += slice_values(MetricSpec(metric.id, metric.unit, metric.direction), clips, slicing, statistics)
    return group.model_copy(update={"slices": tuple(found)})
