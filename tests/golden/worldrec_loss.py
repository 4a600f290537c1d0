"""The loss of a short WorldRec run on the toy world. Regenerate after a change that is meant to alter training:

python -m tests.golden.worldrec_loss
"""

import json
import tempfile
from pathlib import Path

import torch

from tests.worldmodel.worldrec.toy import make_clip
from worldmodel.training.follow import Follow
from worldmodel.worldrec.config import TrainConfig, WorldRecConfig
from worldmodel.worldrec.loop import TrainingData, fit
from worldmodel.worldrec.views import ClipTensors

GOLDEN = Path(__file__).with_name("worldrec_loss.json")
MODEL = WorldRecConfig(
    channels=(8, 16), width=16, grid=2, rounds=2, hypotheses=3, matching=4, motion_tokens=2, depth_bins=8, sky_width=8
)
TRAIN = TrainConfig(steps=30, warmup=3, lr=3e-3, targets=2, log_every=2, vary_context=0.0, validate_every=30)


def trajectory() -> list[dict[str, float]]:
    """The history of the run: one thread, deterministic."""
    torch.set_num_threads(1)
    clips = [ClipTensors.from_clip(make_clip(f"clip{seed}", seed=seed), range(8)) for seed in range(2)]
    with tempfile.TemporaryDirectory() as directory:
        return fit(MODEL, TRAIN, TrainingData(clips), 0, Path(directory), Follow()).history


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(trajectory(), indent=1, sort_keys=True) + "\n")
