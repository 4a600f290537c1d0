"""What one registered version holds: the parts of a world model, each from the stage that made it.

A run whose data cannot train a part has none of it: three posed frames train WorldRec alone.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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


def bundle_folders(artifacts: Path) -> dict[str, Path]:
    """The folder of every part that is there, by name."""
    return {part.name: artifacts / part.stage / part.folder for part in PARTS if _sha256(artifacts, part, part.weights)}


def bundle_digests(artifacts: Path) -> dict[str, str]:
    """sha256 of the weights of every part that is there, by name, as the stages' manifests have them."""
    found = {part.name: _sha256(artifacts, part, part.weights) for part in PARTS}
    return {name: sha256 for name, sha256 in found.items() if sha256}


def bundle_digest(artifacts: Path) -> str:
    """The digest that a bundle is registered by: of its parts' weights, and of the config beside each.

    Equal weights with another vocabulary of tags, or other noise levels, are another model.
    """
    parts = bundle_digests(artifacts)
    configs = {
        f"{part.name}/config.json": _sha256(artifacts, part, part.config) for part in PARTS if part.name in parts
    }
    return digest(parts | {name: sha256 for name, sha256 in configs.items() if sha256})


def _sha256(artifacts: Path, part: Part, file: str) -> str:
    """Digest of a file of a part's stage; empty where its stage did not run or was not applicable."""
    folder = artifacts / part.stage
    files = read_manifest(folder)["files"] if (folder / MANIFEST_FILE).is_file() else {}
    return str(files[file]["sha256"]) if file in files else ""
