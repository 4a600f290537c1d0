"""The registry on a real MLflow store: no doubles, compare-and-set, and a model that loads in a clean process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flows import registry
from flows.manifest import write_manifest
from flows.registry import Candidate
from flows.tracking import connect
from worldmodel.errors import RegistryError

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
    client = connect()
    assert registry.champion(client, NAME) is None
    version = registry.register(client, candidate(workspace, store, "a" * 64))
    assert str(client.get_model_version_by_alias(NAME, "challenger").version) == version
    again = registry.register(client, candidate(workspace, store, "a" * 64))
    assert again == version and len(client.search_model_versions(f"name = '{NAME}'")) == 1

    registry.promote(client, store, NAME, version, expected=None)
    serving = registry.champion(client, NAME)
    assert serving is not None and (serving.version, serving.sha256) == (version, "a" * 64)
    assert "challenger" not in client.get_registered_model(NAME).aliases
    with pytest.raises(RegistryError, match="champion of worldmodel-test changed") as caught:
        registry.promote(client, store, NAME, version, expected=None)
    assert (caught.value.expected, caught.value.got) == ("version none", f"version {version}")

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


def test_one_promotion_at_a_time(store: Path) -> None:
    with registry.promotion_lock(store):
        code = "import sys; from pathlib import Path; from filelock import FileLock, Timeout\n"
        code += (
            "try:\n  FileLock(Path(sys.argv[1]) / 'promote.lock', timeout=0.2).acquire()\nexcept Timeout: sys.exit(7)"
        )
        assert subprocess.run([sys.executable, "-c", code, str(store)]).returncode == 7
