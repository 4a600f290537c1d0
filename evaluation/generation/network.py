"""The feature network before it is opened, and the one that FVD and KVD are defined on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evaluation.generation.distances import Features


@dataclass(frozen=True)
class FeatureNetwork:
    """A network of video features: the fewest frames it takes, and how to open it (which may need weights)."""

    min_frames: int
    open: Callable[[], Features]


def i3d(cache: Path) -> FeatureNetwork:
    """I3D on Kinetics-400, with features kept in `cache`; its weights are read when the first feature is missing."""
    from evaluation.extractors.features import VideoFeatures

    return FeatureNetwork(VideoFeatures.min_frames, lambda: VideoFeatures(cache))
