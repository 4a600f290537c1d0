"""A quick look at held-out clips during training; the evaluate stage measures properly."""

from collections.abc import Sequence

import torch

from worldmodel.worldrec.config import TrainConfig
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.objective import psnr
from worldmodel.worldrec.tasks import protocol_task
from worldmodel.worldrec.views import ClipTensors


@torch.no_grad()
def validate(model: WorldRec, clips: Sequence[ClipTensors], config: TrainConfig) -> dict[str, float]:
    """Mean PSNR in dB of the model and of the nearest context frame on a few target views; empty without clips."""
    ours, nearest = [], []
    device = next(model.parameters()).device
    for index, clip in enumerate(clips):
        task = protocol_task(clip, index, config.context_stride)
        context, target = task.load(clips)
        scene = model(context.to(device).images_only())
        rendered = scene.render(target.to(device).cameras, target.to(device).times_s)
        ours.append(psnr(rendered.rgb.cpu(), target.rgb))
        copied = clip.views([(_nearest(task.context, frame), camera) for frame, camera in task.targets], 0)
        nearest.append(psnr(copied.rgb, target.rgb))
    if not ours:
        return {}
    means = {"val_psnr": torch.cat(ours).mean(), "val_psnr_nearest": torch.cat(nearest).mean()}
    return {name: round(float(value), 4) for name, value in means.items()}


def _nearest(frames: Sequence[int], frame: int) -> int:
    return min(frames, key=lambda t: abs(t - frame))
