"""Reading the rendered priors that steer a sample: artifacts/render_priors, or nothing where it was not applicable."""

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from worldmodel.errors import DataError

_FIX = "fetch the artifact again (`dvc checkout`) or run the render_priors stage again"


class PriorStore:
    """The rendered priors by clip.

    Args:
        directory: with index.json and priors/, or with not_applicable.json.

    Attributes:
        cameras: clip id -> the cameras rendered.

    Raises:
        DataError: the index is missing, damaged or of another schema version.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cameras: dict[str, tuple[str, ...]] = {}
        if (directory / "not_applicable.json").is_file():
            return
        path = directory / "index.json"
        try:
            index = json.loads(path.read_text())
            version = index["schema_version"]
            self.cameras = {entry["clip_id"]: tuple(entry["cameras"]) for entry in index["clips"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: no usable index of rendered priors", got=repr(error), fix=_FIX) from error
        if version != 1:
            raise DataError(f"{path}: schema_version", expected="1", got=str(version), fix=_FIX)

    def load(self, clip_id: str, camera: str, frames: Sequence[int]) -> tuple[Tensor, Tensor] | None:
        """rgb [T, H, W, 3] and alpha [T, H, W], uint8, of one camera at `frames` of the clip.

        None where the clip, the camera or one of these frames was not rendered.

        Raises:
            DataError: the file is missing or damaged.
        """
        if camera not in self.cameras.get(clip_id, ()):
            return None
        path = self.directory / "priors" / f"{clip_id}.safetensors"
        index = self.cameras[clip_id].index(camera)
        try:
            with safe_open(path, "pt") as file:
                rgb, alpha = (file.get_slice(name)[:, index] for name in ("rgb", "alpha"))
        except (OSError, SafetensorError, IndexError) as error:
            raise DataError(f"{path}: no usable prior of camera {camera}", got=str(error), fix=_FIX) from error
        if max(frames) >= len(rgb):
            return None
        return rgb[list(frames)], alpha[list(frames)]
