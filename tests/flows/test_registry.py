"""The registry on a real MLflow store: no doubles, and a model that loads in a clean process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flows import registry
from flows.ledger.store import Ledger
from flows.manifest import write_manifest
from flows.promotion.promote import Promotion, promote, register
from flows.registry import Candidate
from flows.tracking import connect

ROOT = Path(__file__).parents[2]
NAME = "worldmodel-test"

RENDER = """
import json, sys
import numpy as np
import mlflow.pyfunc

model = mlflow.pyfunc.load_model("models:/worldmodel-test@champion")
views = dict(np.load(sys.argv[1]))
images = model.predict(views)
import worldmodel
print(json.dumps({"code": worldmodel.__file__, "shapes": {k: list(v.shape) for k, v in images.items()},
                  "finite": bool(np.isfinite(images["depth"]).all())}))
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run's workspace holds that a model is packed from."""
    import torch

    from flows.profile import read_profile
    from worldmodel.worldrec.model import WorldRec
    from worldmodel.worldrec.weights import save_worldrec

    root = tmp_path_factory.mktemp("workspace")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "worldmodel", root / "worldmodel", ignore=ignore)
    (root / "flows").mkdir()
    shutil.copy(ROOT / "flows" / "serving.py", root / "flows" / "serving.py")
    trained = root / "artifacts" / "train_worldrec"
    trained.mkdir(parents=True)
    torch.manual_seed(0)
    save_worldrec(WorldRec(read_profile(ROOT / "profiles" / "debug.yaml").train_worldrec.model), trained)
    write_manifest(trained, "train_worldrec")
    return root


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An MLflow store of the test's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("WORLDMODEL_STATE", str(tmp_path))
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    return tmp_path


def candidate(workspace: Path, store: Path, sha256: str) -> Candidate:
    client = connect()
    found = client.get_experiment_by_name("tests")
    experiment = found.experiment_id if found else client.create_experiment("tests", (store / "artifacts").as_uri())
    return Candidate(NAME, sha256, workspace, client.create_run(experiment).info.run_id, {"worldmodel.run_id": "r1"})


@pytest.mark.filterwarnings("ignore")  # mlflow's own
def test_register_promote_and_load_in_a_clean_process(workspace: Path, store: Path, tmp_path: Path) -> None:
    client, ledger = connect(), Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert registry.champion(client, NAME) is None
    parts = {"worldrec": "b" * 64}
    version = register(ledger, client, candidate(workspace, store, "a" * 64), "r1", parts, "alice")
    assert str(client.get_model_version_by_alias(NAME, "challenger").version) == version
    again = register(ledger, client, candidate(workspace, store, "a" * 64), "r2", parts, "bob")
    assert again == version and len(client.search_model_versions(f"name = '{NAME}'")) == 1
    (entry,) = ledger.entries()
    assert (entry.kind, entry.actor) == ("model.registered", "alice")
    assert entry.body == {
        "name": NAME,
        "version": version,
        "model_sha256": "a" * 64,
        "run_id": "r1",
        "parts": parts,
    }

    promote(ledger, client, Promotion(NAME, version, "a" * 64, None, "gate", "every rule passes"), "alice")
    serving = registry.champion(client, NAME)
    assert serving is not None and (serving.version, serving.sha256) == (version, "a" * 64)
    assert "challenger" not in client.get_registered_model(NAME).aliases
    register(ledger, client, candidate(workspace, store, "a" * 64), "r3", parts, "alice")
    assert "challenger" not in client.get_registered_model(NAME).aliases  # a champion is not proposed
    ledger.close()

    views = tmp_path / "views.npz"
    np.savez(views, **example_views())
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DO_NOT_TRACK": "true"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{store / 'mlflow.db'}"
    result = subprocess.run(
        [sys.executable, "-c", RENDER, str(views)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])
    assert answer["shapes"] == {"rgb": [2, 32, 48, 3], "depth": [2, 32, 48], "alpha": [2, 32, 48]}
    assert answer["finite"] and "models" in answer["code"] and str(ROOT) not in answer["code"]


def example_views() -> dict[str, np.ndarray]:
    """Two posed images looking ahead, and two cameras between and behind them."""
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, :3] = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # camera z is ego x
    poses[1, 0, 3] = 1.0
    Ks = np.tile(np.array([[40.0, 0, 24], [0, 40, 16], [0, 0, 1]]), (2, 1, 1))
    rgb = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    context = {"rgb": rgb, "Ks": Ks, "world_from_camera": poses, "times_s": np.array([0.0, 0.1])}
    target = {"target_Ks": Ks, "target_world_from_camera": poses, "target_times_s": np.array([0.05, 0.1])}
    return {**context, "world_from_ego": np.eye(4), **target}
