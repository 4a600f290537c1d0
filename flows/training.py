"""What the training stages of both models share: how they use torch, and how a run is tied to its stage."""

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from flows.stage import Stage

if TYPE_CHECKING:
    from worldmodel.training.follow import Follow

Params = TypeVar("Params", bound=BaseModel)


def prepare_torch(stage: Stage[Params], accelerator: str) -> None:
    """Threads, seed and determinism."""
    import torch

    torch.set_num_threads(stage.threads)
    torch.manual_seed(stage.seed)
    # some CUDA kernels have no deterministic form; on the CPU all of them must
    torch.use_deterministic_algorithms(True, warn_only=accelerator != "cpu")


def follow(stage: Stage[Params]) -> "Follow":
    """Ties a training run to its stage."""
    from worldmodel.training.follow import Follow

    return Follow(
        progress=lambda done, total: stage.progress(done, total, "steps"),
        metrics=lambda step, values: stage.log_metrics(step, **values),
        say=stage.say,
        should_stop=lambda: stage.stop_requested,
    )
