"""What one registered version holds: the parts of a world model, each from the stage that made it.

A run whose data cannot train a part has none of it: three posed frames train WorldRec alone.
"""

from dataclasses import dataclass
from pathlib import Path

from flows.manifest import MANIFEST_FILE, digest, read_manifest


@dataclass(frozen=True)
class Part:
    """A part of the bundle: the stage that makes it, its folder and its weights below `artifacts/<stage>/`."""

    name: str
    stage: str
    folder: str
    weights: str


PARTS = (
    Part("worldrec", "train_worldrec", "", "model.safetensors"),
    Part("tokenizer", "train_tokenizer", "tokenizer", "tokenizer/tokenizer.safetensors"),
    Part("worldgen", "worldgen_dmd", "", "model.safetensors"),
)


def bundle_folders(artifacts: Path) -> dict[str, Path]:
    """The folder of every part that is there, by name."""
    return {part.name: artifacts / part.stage / part.folder for part in PARTS if _sha256(artifacts, part)}


def bundle_digests(artifacts: Path) -> dict[str, str]:
    """sha256 of the weights of every part that is there, by name, as the stages' manifests have them."""
    found = {part.name: _sha256(artifacts, part) for part in PARTS}
    return {name: sha256 for name, sha256 in found.items() if sha256}


def bundle_digest(parts: dict[str, str]) -> str:
    """The digest that a bundle is registered by: of its parts' digests."""
    return digest(parts)


def _sha256(artifacts: Path, part: Part) -> str:
    """Digest of a part's weights; empty where its stage did not run or was not applicable."""
    folder = artifacts / part.stage
    files = read_manifest(folder)["files"] if (folder / MANIFEST_FILE).is_file() else {}
    return str(files[part.weights]["sha256"]) if part.weights in files else ""
