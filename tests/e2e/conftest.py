"""Clones of this project, each with a state of its own, run with this interpreter; and what their runs left to use."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flows.pipeline import stage_names
from flows.profile import profile_path, read_profile

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "data"
STAGES = stage_names(ROOT)


class Clone:
    """A clone of the project, or of another clone (the project may change meanwhile), and the command line in it."""

    def __init__(self, root: Path, origin: Path = ROOT) -> None:
        self.root, self.state = root, root / ".worldmodel"
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=origin,
            capture_output=True,
            check=True,
        ).stdout.decode()
        for name in filter(None, tracked.split("\0")):
            if (origin / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin / name, root / name)
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message=clone"]):
            subprocess.run(["git", *command], cwd=root, check=True)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`worldmodel ARGUMENTS`, with the clone's own code and no server configured."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "WORLDMODEL"))}
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env={**inherited, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, expect: tuple[int, ...] = (0,)) -> Any:
        """A command with `--json` to its end; its document."""
        process = self.start(*arguments, "--json")
        output, errors = process.communicate(timeout=1200)
        assert process.returncode in expect, f"exit {process.returncode}\n{output}\n{errors}"
        return json.loads(output)

    def workspace(self, record: dict[str, Any]) -> Path:
        """Where a run worked."""
        return self.state / "workspaces" / str(record["key"])

    @property
    def mlflow(self) -> str:
        """Where MLflow keeps the clone's runs and models."""
        return f"sqlite:///{self.state / 'mlflow.db'}"


def movie(path: Path) -> NDArray[np.uint8]:
    """All frames of a video file, [T, H, W, 3]."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.uint8)


def picture(path: Path) -> tuple[NDArray[np.uint8], int]:
    """The pixels [H, W, 3] of a PNG, and how many frames it has."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")), getattr(image, "n_frames", 1)


GENERATE = """
import json
import sys
from pathlib import Path

import mlflow.pyfunc

from worldmodel.data.layout import layout_of  # of this project; the model brings its own
from worldmodel.data.shards import ClipStore

model_uri, prepared, source, frames = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
model, store = mlflow.pyfunc.load_model(model_uri), ClipStore(prepared)
clip = next(store.load(name) for name in store.clip_ids("test") if store.row(name)["source"] == source)
layout = layout_of(clip, 0, range(frames))


def generate(seed, layout):
    return model.predict({"first_frame": clip.rgb[0, 0], "layout": layout}, params={"seed": seed})["rgb"]


def refusal(layout):
    try:
        generate(1, layout)
    except Exception as error:
        return [type(error).__name__, str(error)]


def render():
    views = {
        "rgb": clip.rgb[0], "Ks": clip.Ks, "world_from_camera": clip.world_from_camera[0],
        "times_s": clip.times_s[[0] * len(clip.cameras)], "world_from_ego": clip.world_from_ego[0],
        "target_Ks": clip.Ks[:1], "target_world_from_camera": clip.world_from_camera[1, :1],
        "target_times_s": clip.times_s[1:2],
    }
    return model.unwrap_python_model().reconstruct(views)["rgb"]


video, again, other = (generate(seed, layout) for seed in (1, 1, 2))
changed = generate(1, 0 * layout)
seen = {
    "frames": list(clip.rgb[:frames, 0].shape),
    "video": list(video.shape),
    "type": str(video.dtype),
    "first frame off by": float(abs(video[0].astype(float) - clip.rgb[0, 0]).mean()),
    "repeats": bool((video == again).all()),
    "another seed differs": bool((video != other).any()),
    "another layout differs": bool((video != changed).any()),
    "refusal": refusal(layout[:-1]),
}
if clip.Ks is not None:
    image = render()
    seen["render"] = {"shape": list(image.shape), "spread": float(image.std())}
print(json.dumps(seen))
"""


def served(clone: Clone, alias: str, prepared: Path, source: str, scratch: Path) -> dict[str, Any]:
    """What the debug model of an alias does in a process that knows nothing but MLflow, on a test clip of a source."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(scratch), "DO_NOT_TRACK": "true"}
    environment["MLFLOW_TRACKING_URI"] = clone.mlflow
    model = f"models:/worldmodel-debug@{alias}"
    command = [sys.executable, "-c", GENERATE, model, str(prepared), source, str(frames_of_a_sample(clone))]
    result = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout.splitlines()[-1]))


def frames_of_a_sample(clone: Clone) -> int:
    """Frames of a generated video, by the debug profile."""
    return read_profile(profile_path(clone.root, "debug")).train_tokenizer.frames


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A fresh clone."""
    return Clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def debug_run(clone: Clone) -> dict[str, Any]:
    """The record of one whole run at debug size, from a fresh clone."""
    return dict(clone.run("run", "--profile", "debug", expect=(0, 3)))
