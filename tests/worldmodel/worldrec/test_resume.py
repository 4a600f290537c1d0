"""Resume states survive kills and damage, and training that was interrupted ends with the same bits."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.worldmodel.worldrec.toy import make_clip
from worldmodel.errors import Preempted
from worldmodel.training.follow import Follow
from worldmodel.worldrec.config import TrainConfig, WorldRecConfig
from worldmodel.worldrec.loop import Result, TrainingData, fit
from worldmodel.worldrec.views import ClipTensors

Train = Callable[..., Result]


@pytest.fixture
def train(small: WorldRecConfig, short_run: TrainConfig, clips: list[ClipTensors]) -> Train:
    def run(directory: Path, follow: Follow | None = None) -> Result:
        directory.mkdir(exist_ok=True)
        return fit(small, short_run, TrainingData(clips, clips[:1]), 0, directory, follow or Follow())

    return run


def same_bits(a: Result, b: Result) -> bool:
    one, other = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one) and a.history == b.history


def test_two_runs_end_with_the_same_bits(train: Train, tmp_path: Path) -> None:
    assert same_bits(train(tmp_path / "a"), train(tmp_path / "b"))


@pytest.mark.parametrize("stop_at", [1, 5, 8, 11])
def test_a_run_stopped_and_continued_ends_with_the_bits_of_an_undisturbed_one(
    train: Train, tmp_path: Path, stop_at: int
) -> None:
    done: list[int] = []
    stopping = Follow(progress=lambda step, total: done.append(step), should_stop=lambda: done[-1] == stop_at)
    with pytest.raises(Preempted, match=f"after step {stop_at}"):
        train(tmp_path / "a", stopping)
    said: list[str] = []
    continued = train(tmp_path / "a", Follow(say=said.append))
    assert said == [f"going on from step {stop_at}"]
    assert same_bits(continued, train(tmp_path / "b"))


def test_a_run_that_dies_in_a_step_goes_on_from_the_last_state(train: Train, tmp_path: Path) -> None:
    def die_after(step: int, total: int) -> None:
        if step == 7:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "a", Follow(progress=die_after))
    said: list[str] = []
    continued = train(tmp_path / "a", Follow(say=said.append))
    assert said == ["going on from step 4"]
    assert same_bits(continued, train(tmp_path / "b"))


def test_a_corrupt_state_is_named_and_the_older_one_used(train: Train, tmp_path: Path) -> None:
    directory = tmp_path / "a"
    train(directory)
    _, newest = sorted(directory.glob("step-*.pt"))
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    said: list[str] = []
    continued = train(directory, Follow(say=said.append))
    assert said[0].startswith(f"{newest} is corrupt")
    assert said[1] == "going on from step 4"
    assert same_bits(continued, train(tmp_path / "b"))


def run_alone(directory: Path, follow: Follow) -> Result:
    """A run long enough to be killed in the middle of."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = WorldRecConfig(channels=(8, 16), width=8, grid=2, rounds=1, hypotheses=0, depth_bins=8)
    config = TrainConfig(steps=30, warmup=2, targets=1, checkpoint_every=3, validate_every=30)
    clip = ClipTensors.from_clip(make_clip(), range(8))
    directory.mkdir(exist_ok=True)
    return fit(model, config, TrainingData([clip]), 0, directory, follow)


SCRIPT = """
import sys
from pathlib import Path
from tests.worldmodel.worldrec.test_resume import run_alone
from worldmodel.training.follow import Follow

run_alone(Path(sys.argv[1]), Follow(progress=lambda done, total: print(done, flush=True)))
"""


def test_a_process_killed_with_9_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "8":
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    said: list[str] = []
    continued = run_alone(tmp_path / "killed", Follow(say=said.append))
    assert said[0].startswith("going on from step")
    assert same_bits(continued, run_alone(tmp_path / "whole", Follow()))
