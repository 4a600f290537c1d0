"""What a registered version holds, read from the manifests of the stages that made it."""

import hashlib
from pathlib import Path

from flows.bundle import bundle_digest, bundle_digests, bundle_folders
from flows.manifest import digest, write_manifest


def finished(artifacts: Path, stage: str, weights: str | None) -> None:
    """A finished stage's output, with weights or with the reason why there are none."""
    folder = artifacts / stage
    path = folder / (weights or "not_applicable.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stage.encode())
    write_manifest(folder, stage)


def test_a_bundle_holds_the_parts_that_were_trained(tmp_path: Path) -> None:
    finished(tmp_path, "train_worldrec", "model.safetensors")
    finished(tmp_path, "train_tokenizer", "tokenizer/tokenizer.safetensors")
    finished(tmp_path, "worldgen_dmd", None)
    assert bundle_digests(tmp_path) == {
        "worldrec": hashlib.sha256(b"train_worldrec").hexdigest(),
        "tokenizer": hashlib.sha256(b"train_tokenizer").hexdigest(),
    }
    folders = {"worldrec": tmp_path / "train_worldrec", "tokenizer": tmp_path / "train_tokenizer" / "tokenizer"}
    assert bundle_folders(tmp_path) == folders


def test_a_part_that_changes_or_is_missing_makes_another_bundle(tmp_path: Path) -> None:
    finished(tmp_path, "train_worldrec", "model.safetensors")
    alone = bundle_digest(bundle_digests(tmp_path))
    assert alone == digest({"worldrec": hashlib.sha256(b"train_worldrec").hexdigest()})
    finished(tmp_path, "worldgen_dmd", "model.safetensors")
    assert bundle_digest(bundle_digests(tmp_path)) != alone


def test_without_any_output_a_bundle_is_empty(tmp_path: Path) -> None:
    assert bundle_digests(tmp_path) == {} and bundle_folders(tmp_path) == {}
