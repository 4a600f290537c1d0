"""Registered versions on a real MLflow store: what names stand for, and parts that are what was registered."""

import shutil
from pathlib import Path

import pytest

from flows.bundle import PARTS, bundle_digest
from flows.manifest import write_manifest
from flows.registered import Registered, fetch, find
from flows.tracking import connect
from worldmodel.errors import RegistryError

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own
TAGS = {"worldmodel.model_sha256": "a" * 64, "worldmodel.run_id": "run-1", "worldmodel.report_run": "r" * 32}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    """A store with three versions of `model`; the second is champion, the third is of another platform."""
    root = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        patch.setenv("DO_NOT_TRACK", "true")
        client = connect()
        run = client.create_run(client.create_experiment("tests", (root / "artifacts").as_uri())).info.run_id
        client.create_registered_model("model")
        parts = {"worldmodel.sha256.worldrec": "1", "worldmodel.sha256.worldgen": "3"}
        for tags in (TAGS, TAGS | parts, {}):
            client.create_model_version("model", f"runs:/{run}/model", run, tags=tags)
        client.set_registered_model_alias("model", "champion", "2")
        yield client


@pytest.mark.parametrize(("spec", "version"), [("model/1", "1"), ("model@champion", "2"), ("model/2", "2")])
def test_a_name_stands_for_one_version(client, spec: str, version: str) -> None:
    found = find(client, spec)
    assert (found.name, found.version, found.sha256, found.run_id) == ("model", version, "a" * 64, "run-1")
    assert found.parts == (("worldrec", "worldgen") if version == "2" else ())
    assert found.report_run == "r" * 32 and str(found) == f"model version {version}"


def test_a_name_alone_is_its_newest_version_which_must_be_one_of_ours(client) -> None:
    with pytest.raises(RegistryError, match="model version 3: not registered by `worldmodel run`"):
        find(client, "model")


@pytest.mark.parametrize(
    ("spec", "said", "expected"),
    [
        ("modle", "no such model", "model"),
        ("model/7", "no such version", "1 or 2 or 3"),
        ("model@best", "no such alias", "champion"),
        ("model/x", "not the name of a model", "NAME, NAME/VERSION or NAME@ALIAS"),
        ("m' or name='model", "not the name of a model", "NAME, NAME/VERSION or NAME@ALIAS"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(client, spec: str, said: str, expected: str) -> None:
    with pytest.raises(RegistryError, match=said) as caught:
        find(client, spec)
    assert caught.value.expected == expected


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """What MLflow holds of a version: a folder a part, the stages' own with their manifests."""
    held = tmp_path / "held"
    for part in PARTS:
        folder = held / (part.folder or part.stage)
        folder.mkdir(parents=True)
        for name in (part.weights, part.config):
            (folder / Path(name).name).write_text(f"{name} of {part.name}")
        if not part.folder:
            (folder / "history.json").write_text("{}")
            write_manifest(folder, part.stage)
    return held


@pytest.fixture
def version(held: Path, tmp_path: Path) -> Registered:
    """The version whose digest the parts have."""
    whole = tmp_path / "whole"
    for part in PARTS:
        shutil.copytree(held / (part.folder or part.stage), whole / part.stage / part.folder, dirs_exist_ok=True)
        write_manifest(whole / part.stage, part.stage)
    return Registered("model", "1", bundle_digest(whole), ("worldrec", "tokenizer", "worldgen"), "run-1", "r")


def test_parts_come_back_as_the_outputs_of_their_stages(held: Path, version: Registered, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch(version, out, lambda model, scratch: held)
    assert bundle_digest(out) == version.sha256
    assert {path.relative_to(out).as_posix() for path in out.glob("*/manifest.json")} == {
        f"{part.stage}/manifest.json" for part in PARTS
    }
    assert (out / "train_worldrec/manifest.json").read_bytes() == (held / "train_worldrec/manifest.json").read_bytes()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("worldgen_dmd/model.safetensors", "others: model.safetensors"),
        ("train_worldrec/history.json", "others: history.json"),
        ("tokenizer/tokenizer.safetensors", "registered"),
        ("tokenizer/config.json", "registered"),
        ("tokenizer", "none"),
    ],
)
def test_a_part_that_was_changed_or_lost_is_refused_and_nothing_is_left(
    held: Path, version: Registered, tmp_path: Path, damage: str, said: str
) -> None:
    if (held / damage).is_dir():
        shutil.rmtree(held / damage)
    else:
        (held / damage).write_text("changed")
    with pytest.raises(RegistryError, match="model version 1: what the registry holds") as caught:
        fetch(version, tmp_path / "out", lambda model, scratch: held)
    assert said in str(caught.value) and not (tmp_path / "out").exists()


def test_weights_changed_together_with_their_manifest_are_refused(
    held: Path, version: Registered, tmp_path: Path
) -> None:
    (held / "worldgen_dmd/model.safetensors").write_text("changed")
    write_manifest(held / "worldgen_dmd", "worldgen_dmd")
    with pytest.raises(RegistryError, match="what the registry holds") as caught:
        fetch(version, tmp_path / "out", lambda model, scratch: held)
    assert caught.value.expected == f"sha256 {version.sha256}"
