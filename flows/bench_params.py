"""The params of a bench: those of a run, with the protocol that was asked for and a registered model in its place."""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.protocols import GenerationPreset, Preset
from flows.manifest import file_sha256
from worldmodel.errors import DataError
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE

METHODS = ("repeat_last_frame", "dmd")  # a registered version holds the student alone


@dataclass(frozen=True)
class HeldModel:
    """What the stages must be told of the parts that a version holds.

    Attributes:
        tokenizer: its folder relative to the workspace, kind and sha256; None where the version has none.
        tag_keys, vocabulary: what the generator's tags mean; None where the version has no generator.
        image_size: height and width that the generator makes; None likewise.
    """

    tokenizer: tuple[str, str, str] | None = None
    tag_keys: tuple[str, ...] | None = None
    vocabulary: tuple[str, ...] | None = None
    image_size: tuple[int, int] | None = None


def held_model(workspace: Path, parts: Path) -> HeldModel:
    """Reads it from the fetched parts, a folder in the workspace.

    Raises:
        DataError: a config of theirs cannot be read.
    """
    tokenizer, generator = parts / "train_tokenizer" / "tokenizer", parts / "worldgen_dmd" / "config.json"
    try:
        codec = None
        if tokenizer.is_dir():
            kind = str(json.loads((tokenizer / "config.json").read_text())["codec"])
            sha256 = file_sha256(tokenizer / "tokenizer.safetensors")
            codec = (tokenizer.relative_to(workspace).as_posix(), kind, sha256)
        if not generator.is_file():
            return HeldModel(codec)
        said = json.loads(generator.read_text())
        sampling, latents = said["sampling"], said["denoiser"]["latents"]
        height, width = (int(cells) * int(latents["stride"]) for cells in latents["grid"])
        return HeldModel(codec, tuple(sampling["tag_keys"]), tuple(sampling["vocabulary"]), (height, width))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{parts}: a registered part cannot be read", got=f"{type(error).__name__}: {error}") from error


def bench_params(params: dict[str, Any], asked: Preset, model: HeldModel, sources: Sequence[str]) -> dict[str, Any]:
    """Params of a run, so changed that its stages measure `model` under the protocol.

    What the protocol leaves open (how many clips and samples, resamples, seed) stays the run's.

    Args:
        params: the run's, whole.
        asked: the protocol.
        model: what the version holds.
        sources: of the prepared clips.
    """
    changed = copy.deepcopy(params)
    changed["evaluate"]["protocol"] = asked.name
    changed["reconstruct"]["splits"] = [asked.split]
    changed["rollout"]["split"] = asked.split
    if asked.reconstruction is not None:
        changed["reconstruct"]["context_stride"] = asked.reconstruction.context_stride
    changed["rollout"]["methods"] = list(METHODS)
    tokenizer = changed["train_tokenizer"]
    if asked.generation is not None:
        frames = _frames(tokenizer, asked.generation)
        if (frames, asked.generation.rate_hz) != (tokenizer.get("frames"), tokenizer.get("rate_hz")):
            changed["render_priors"]["max_frames"] = None  # a longer window needs a longer prior
        tokenizer |= {"frames": frames, "rate_hz": asked.generation.rate_hz}
    if asked.cameras is not None:
        cameras = {source: list(asked.cameras) for source in sources}
        tokenizer |= {"cameras": cameras, "eval_cameras": cameras}
        changed["render_priors"]["cameras"] = changed["rollout"]["cameras"] = cameras
    if model.tokenizer is not None:
        folder, kind, sha256 = model.tokenizer
        vocabulary = None if model.vocabulary is None else list(model.vocabulary)
        tokenizer |= {"codec": kind, "pretrained": {"folder": folder, "sha256": sha256, "vocabulary": vocabulary}}
    if model.tag_keys is not None:
        tokenizer["tag_keys"] = list(model.tag_keys)
    return changed


def _frames(tokenizer: dict[str, Any], asked: GenerationPreset) -> int:
    """The run's own length, or as many more as the protocol measures, in whole latent frames."""
    needed = asked.window + (0 if asked.given_counts else 1)
    whole = 1 + TEMPORAL_STRIDE * math.ceil((needed - 1) / TEMPORAL_STRIDE)
    return max(int(tokenizer.get("frames", 0)), whole)
