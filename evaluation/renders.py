"""What `reconstruct` left to be measured: index.json and one safetensors file of renders a clip."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worldmodel.data.schema import Clip
from worldmodel.errors import DataError

INDEX_FILE = "index.json"
_FIX = "run the reconstruct stage again"


class Part(BaseModel):
    """Another stage's file: what is not needed here is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RenderedClip(Part):
    """A clip that was reconstructed from its context frames and rendered at its target frames.

    `same_log`: the model was trained on other frames of this clip's log. `n_gaussians`: what it is reconstructed by.
    """

    clip_id: str
    log_id: str
    source: str
    split: str
    same_log: bool
    context_frames: tuple[int, ...] = Field(min_length=1)
    target_frames: tuple[int, ...] = Field(min_length=1)
    n_gaussians: int = Field(ge=0)


class RenderProtocol(Part):
    """The part of the reconstruction protocol that decides what a number means."""

    context_stride: int


class LeftOut(Part):
    """A held-out clip that was not rendered."""

    clip_id: str
    reason: str


class RenderIndex(Part):
    """index.json: the model's digest, the protocol, every rendered clip, and those that could not be."""

    model_sha256: str
    protocol: RenderProtocol
    clips: tuple[RenderedClip, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Renders:
    """Renders of one clip at its F target frames, V cameras, in order.

    Attributes:
        rgb: [F, V, H, W, 3] uint8.
        depth: [F, V, H, W] float32 z-depth in metres, 0 where nothing was hit.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]


def read_index(root: Path) -> RenderIndex:
    """Reads index.json of an artifacts/reconstruct directory.

    Raises:
        DataError: missing, not JSON, lacking a field, or naming a clip twice.
    """
    path = root / INDEX_FILE
    try:
        index = RenderIndex.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        got = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(f"{path}: not a readable index of renders", got=got, fix=_FIX) from None
    ids = [clip.clip_id for clip in index.clips]
    if len(set(ids)) < len(ids):
        raise DataError(f"{path}: a clip is named twice", got=", ".join(sorted(ids)), fix=_FIX)
    return index


def read_renders(root: Path, entry: RenderedClip, clip: Clip) -> Renders:
    """Reads the renders of one clip and checks that they are of this clip's frames, cameras and size.

    Raises:
        DataError: missing, damaged, or of another type or shape; names file and tensor.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = root / "renders" / f"{entry.clip_id}.safetensors"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: renders cannot be read", got=str(error), fix=_FIX) from None
    shape = (len(entry.target_frames), *clip.rgb.shape[1:4])
    return Renders(
        rgb=_checked(path, tensors, "rgb", np.dtype(np.uint8), (*shape, 3)),
        depth=_checked(path, tensors, "depth", np.dtype(np.float32), shape),
    )


def check_frames(entry: RenderedClip, clip: Clip) -> None:
    """Refuses an entry whose frames are not the clip's, or whose target is also context (its numbers would be false).

    Raises:
        DataError: names the clip and the frames.
    """
    known = range(len(clip.times_s))
    wrong = [t for t in (*entry.context_frames, *entry.target_frames) if t not in known]
    shared = sorted(set(entry.context_frames) & set(entry.target_frames))
    if wrong or shared or len(set(entry.target_frames)) < len(entry.target_frames):
        raise DataError(
            f"{INDEX_FILE}: clip {entry.clip_id} has frames that cannot be measured",
            expected=f"distinct target frames below {len(known)}, none of them context",
            got=f"context {entry.context_frames}, target {entry.target_frames}",
            fix=_FIX,
        )


def _checked(
    path: Path, tensors: dict[str, NDArray[Any]], name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    tensor = tensors.get(name)
    if tensor is None or tensor.dtype != dtype or tensor.shape != shape:
        got = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
        raise DataError(f"{path}: tensor {name}", expected=f"{dtype} {list(shape)}", got=got, fix=_FIX)
    return tensor


def first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
