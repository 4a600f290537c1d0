"""What a training step looks at, as a pure function of seed and step: going on after a kill needs no loader state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.training.sources import clip_weights
from worldmodel.worldrec.config import TrainConfig
from worldmodel.worldrec.views import ClipTensors, Views


@dataclass(frozen=True)
class Task:
    """One step: a clip, its context frames, and (frame, camera) pairs to render; frames count among the held ones."""

    clip: int
    context: tuple[int, ...]
    targets: tuple[tuple[int, int], ...]

    def load(self, clips: Sequence[ClipTensors]) -> tuple[Views, Views]:
        """Context and target views in the frame of the first context frame's ego."""
        clip = clips[self.clip]
        context = clip.views(clip.all_cameras(self.context), self.context[0])
        return context, clip.views(self.targets, self.context[0])


def training_task(clips: Sequence[ClipTensors], config: TrainConfig, seed: int, step: int) -> Task:
    """The task of a step. Most steps use the protocol's context frames; some use other numbers of them."""
    rng = np.random.default_rng([seed, step])
    weights = clip_weights([clip.source for clip in clips], config.min_source_share)
    index = int(rng.choice(len(clips), p=weights))
    clip = clips[index]
    held, cameras = clip.rgb.shape[:2]
    context = _context(rng, clip, config)
    others = [t for t in range(held) if t not in context]
    reachable = others if others and rng.random() < 0.9 else list(range(held))
    frame = int(rng.choice(reachable))
    chosen = rng.permutation(cameras)[: config.targets]
    return Task(index, context, tuple((frame, int(camera)) for camera in sorted(chosen)))


def _context(rng: np.random.Generator, clip: ClipTensors, config: TrainConfig) -> tuple[int, ...]:
    """Held frames to look at: the protocol's, or a random 1 to 4 of the clip's."""
    held = len(clip.frames)
    if held < 3 or rng.random() < config.vary_context:
        count = int(rng.integers(1, min(held, 4) + 1))
        return tuple(sorted(int(t) for t in rng.permutation(held)[:count]))
    return context_frames(held, config.context_stride)


def protocol_task(clip: ClipTensors, index: int, stride: int, frames: int = 4) -> Task:
    """The evaluation protocol on a whole clip, thinned to about so many target frames."""
    targets = target_frames(len(clip.frames), stride)
    thinned = targets[:: max(1, len(targets) // frames)]
    return Task(index, context_frames(len(clip.frames), stride), tuple(clip.all_cameras(thinned)))
