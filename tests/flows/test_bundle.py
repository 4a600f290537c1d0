"""What a registered version holds, read from the manifests of the stages that made it."""

import hashlib
from pathlib import Path

from flows.bundle import bundle_digest, bundle_digests, bundle_folders, bundle_of
from flows.manifest import digest, read_manifest, write_manifest


def finished(artifacts: Path, stage: str, weights: str | None, config: str | None = None) -> None:
    """A finished stage's output, with weights (and a config beside them) or with the reason why there are none."""
    folder = artifacts / stage
    path = folder / (weights or "not_applicable.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stage.encode())
    if config is not None:
        path.with_name("config.json").write_text(config)
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
    alone = bundle_digest(tmp_path)
    assert alone == digest({"worldrec": hashlib.sha256(b"train_worldrec").hexdigest()})
    finished(tmp_path, "worldgen_dmd", "model.safetensors")
    assert bundle_digest(tmp_path) != alone


def test_equal_weights_with_another_config_are_another_bundle(tmp_path: Path) -> None:
    digests = set()
    for config in ("rain", "snow"):
        finished(tmp_path, "train_tokenizer", "tokenizer/tokenizer.safetensors", "sizes")
        finished(tmp_path, "worldgen_dmd", "model.safetensors", config)
        digests.add(bundle_digest(tmp_path))
        parts = {"tokenizer": "train_tokenizer", "worldgen": "worldgen_dmd"}
        weights = {name: hashlib.sha256(stage.encode()).hexdigest() for name, stage in parts.items()}
        assert bundle_digests(tmp_path) == weights
        beside = {"tokenizer/config.json": "sizes", "worldgen/config.json": config}
        configs = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in beside.items()}
        assert bundle_digest(tmp_path) == digest(weights | configs)
    assert len(digests) == 2


def test_the_rule_needs_manifests_alone(tmp_path: Path) -> None:
    finished(tmp_path, "train_tokenizer", "tokenizer/tokenizer.safetensors", "sizes")
    finished(tmp_path, "worldgen_dmd", None)
    files = {folder.name: read_manifest(folder)["files"] for folder in tmp_path.iterdir()}
    assert bundle_of(files) == (bundle_digests(tmp_path), bundle_digest(tmp_path))
    assert bundle_of({}) == ({}, digest({}))


def test_without_any_output_a_bundle_is_empty(tmp_path: Path) -> None:
    assert bundle_digests(tmp_path) == {} and bundle_folders(tmp_path) == {}
