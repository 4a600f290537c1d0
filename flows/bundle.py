"""What one registered version holds: the parts of a world model, each from the stage that made it.

A run whose data cannot train a part has none of it: three posed frames train WorldRec alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from flows.manifest import MANIFEST_FILE, digest, read_manifest


@dataclass(frozen=True)
class Part:
    """A part of the bundle: the stage that makes it, its folder and its weights below `artifacts/<stage>/`."""

    name: str
    stage: str
    folder: str
    weights: str

    @property
    def config(self) -> str:
        """What lies beside the weights: sizes, noise levels, tags."""
        return PurePosixPath(self.weights).with_name("config.json").as_posix()


PARTS = (
    Part("worldrec", "train_worldrec", "", "model.safetensors"),
    Part("tokenizer", "train_tokenizer", "tokenizer", "tokenizer/tokenizer.safetensors"),
    Part("worldgen", "worldgen_dmd", "", "model.safetensors"),
)


Files = Mapping[str, Mapping[str, Any]]  # by stage: `files` of its manifest


def bundle_folders(artifacts: Path) -> dict[str, Path]:
    """The folder of every part that is there, by name."""
    there = bundle_digests(artifacts)
    return {part.name: artifacts / part.stage / part.folder for part in PARTS if part.name in there}


def bundle_digests(artifacts: Path) -> dict[str, str]:
    """sha256 of the weights of every part that is there, by name, as the stages' manifests have them."""
    return bundle_of(_files(artifacts))[0]


def bundle_digest(artifacts: Path) -> str:
    """The digest that a bundle is registered by; see `bundle_of`."""
    return bundle_of(_files(artifacts))[1]


def bundle_of(files: Files) -> tuple[dict[str, str], str]:
    """sha256 of the weights of every part, by name, and the digest of the bundle: of those, and of the config beside
    each.

    Equal weights with another vocabulary of tags, or other noise levels, are another model.

    Args:
        files: a stage that did not run, or was not applicable, may be left out or have other files.
    """
    parts = _named(files, {part.name: (part.stage, part.weights) for part in PARTS})
    beside = {f"{part.name}/config.json": (part.stage, part.config) for part in PARTS if part.name in parts}
    return parts, digest(parts | _named(files, beside))


def _named(files: Files, wanted: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """sha256 of those files that are there."""
    return {
        name: str(files[stage][file]["sha256"])
        for name, (stage, file) in wanted.items()
        if file in files.get(stage, {})
    }


def _files(artifacts: Path) -> Files:
    folders = {part.stage: artifacts / part.stage for part in PARTS}
    there = {stage: folder for stage, folder in folders.items() if (folder / MANIFEST_FILE).is_file()}
    return {stage: read_manifest(folder)["files"] for stage, folder in there.items()}
