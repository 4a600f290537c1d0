"""How fast WorldGen trains and generates, with random weights and latents at the sizes of a profile; and I3D.

    python benchmarks/worldgen.py                       the sizes of tiny
    python benchmarks/worldgen.py --frames 81           longer clips for sampling
    python benchmarks/worldgen.py --json

Ratios are of rounds that take turns in one process. Nothing else should run meanwhile.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from flows.profile import Profile, profile_path, read_profile
from worldmodel.errors import MissingDependencyError
from worldmodel.training.follow import Follow
from worldmodel.training.loop import train
from worldmodel.worldgen.conditions import CONDITIONS, Conditions
from worldmodel.worldgen.config import GenerativeLoopConfig
from worldmodel.worldgen.denoiser import Denoiser
from worldmodel.worldgen.denoiser_config import LatentSpec
from worldmodel.worldgen.dmd import DmdModule
from worldmodel.worldgen.ego_motion import EGO_VALUES
from worldmodel.worldgen.flow import BidirectionalModule, TeacherForcingModule
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.noise import chunk_bounds, euler_sigmas, few_step_sigmas
from worldmodel.worldgen.samples import SampleRow
from worldmodel.worldgen.sampling import Solver, Velocity, euler_solver, few_step_solver, sample_causal, sample_noise
from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE
from worldmodel.worldgen.training import GenerativeModule, Setting
from worldmodel.worldgen.weights import new_denoiser

ROOT = Path(__file__).parents[1]
STRIDE, VOCABULARY, SAMPLES, WARM_UP = 8, 8, 16, 3
Figures = dict[str, dict[str, float]]


def latent_spec(profile: Profile) -> LatentSpec:
    """The latents of the profile's linear tokenizer."""
    prepare, linear = profile.prepare, profile.train_tokenizer.linear
    grid = (prepare.height // STRIDE, prepare.width // STRIDE)
    return LatentSpec(channels=linear.channels, grid=grid, stride=STRIDE, vocabulary=VOCABULARY)


def random_conditions(spec: LatentSpec, clips: int, frames: int) -> Conditions:
    """Everything known of every clip; `frames` are latent ones."""
    pixels = torch.randint(0, 256, (clips, frames, TEMPORAL_STRIDE, *spec.image_size, 3), dtype=torch.uint8)
    return Conditions(
        layout=pixels,
        prior=torch.randn(clips, frames, spec.channels, *spec.grid),
        prior_alpha=torch.rand(clips, frames, *spec.grid),
        ego=torch.randn(clips, frames, EGO_VALUES),
        tags=torch.randint(0, 1 + VOCABULARY, (clips, 2)),
        keep=torch.ones(clips, len(CONDITIONS), dtype=torch.bool),
        first=torch.randn(clips, spec.channels, *spec.grid),
    )


class RandomLatents:
    """Training samples in memory, with the part of a store that training needs."""

    def __init__(self, spec: LatentSpec, frames: int) -> None:
        self.n_latent_frames = frames
        self.z = torch.randn(SAMPLES, frames, spec.channels, *spec.grid)
        self.conditions = random_conditions(spec, SAMPLES, frames)
        window = tuple(range(1 + (frames - 1) * TEMPORAL_STRIDE))
        names = [f"random-{number:02d}" for number in range(SAMPLES)]
        self.rows = [
            SampleRow(f"{name}.front.000", name, name, "random", "front", 0, window, "train", False, (1, 1))
            for name in names
        ]

    def select(self, split: str, sources: Sequence[str] | None = None) -> list[SampleRow]:
        return self.rows if split == "train" else []

    def load(self, rows: Sequence[SampleRow]) -> LatentBatch:
        places = [self.rows.index(row) for row in rows]
        return LatentBatch(self.z[places], self.conditions.select(places))


def step_ms(
    make: Callable[[GenerativeLoopConfig], GenerativeModule], config: GenerativeLoopConfig, steps: int
) -> float:
    """Median milliseconds of a step, or of the mean step of a cycle where one step in several does more."""
    cycle = getattr(config, "ratio", 1)
    warm_up = -(-WARM_UP // cycle) * cycle
    total = warm_up + -(-steps // cycle) * cycle
    never = total + 1
    timed = config.model_copy(
        update={"steps": total, "warmup": 0, "checkpoint_every": never, "validate_every": never, "log_every": never}
    )
    stamps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        train(make(timed), Path(folder), Follow(progress=lambda done, all_: stamps.append(time.perf_counter())))
    ends = stamps[warm_up - 1 :: cycle]
    return 1000 * median(np.diff(ends)) / cycle


def training(profile: Profile, spec: LatentSpec, frames: int, steps: int) -> Figures:
    """Milliseconds of a step and of a clip in it, by training stage."""
    section = profile.worldgen_bidirectional
    setting = Setting(RandomLatents(spec, frames), section.noise, profile.seed)

    def network() -> Denoiser:
        return new_denoiser(section.model, spec)

    stages: dict[str, tuple[Callable[..., GenerativeModule], GenerativeLoopConfig]] = {
        "bidirectional": (lambda c: BidirectionalModule(network(), c, setting), section.train),
        "teacher forcing": (
            lambda c: TeacherForcingModule(network(), c, setting),
            profile.worldgen_teacher_forcing.train,
        ),
        "dmd": (lambda c: DmdModule(network(), network(), c, setting), profile.worldgen_dmd.train),
    }
    found: Figures = {}
    for name, (make, config) in stages.items():
        per_step = step_ms(make, config, steps)
        clips = config.batch_size
        found[name] = {"clips": clips, "ms_per_step": per_step, "ms_per_clip": per_step / clips}
    return found


def sample_uncached(denoiser: Denoiser, conditions: Conditions, noise: Tensor, solver: Solver) -> Tensor:
    """What `sample_causal` gives, with the past of each chunk computed anew at every step."""
    done = conditions.first[:, None]
    for start, stop in chunk_bounds(noise.shape[2], denoiser.config.chunk)[1:]:
        velocity = _masked(denoiser, conditions.frames(0, stop), done)
        done = torch.cat([done, solver(velocity, noise[:, :, start:stop])], dim=1)
    return done


def _masked(denoiser: Denoiser, conditions: Conditions, past: Tensor) -> Velocity:
    def velocity(x: Tensor, sigma: float) -> Tensor:
        whole = torch.cat([past, x], dim=1)
        levels = torch.full(whole.shape[:2], sigma)
        levels[:, : past.shape[1]] = 0
        said: Tensor = denoiser(whole, levels, conditions, "causal")
        return said[:, past.shape[1] :]

    return velocity


@dataclass(frozen=True)
class Rounds:
    """Seconds of several ways to do the same, which took turns: by way, one entry a round."""

    seconds: dict[str, list[float]]

    def ms(self, way: str) -> float:
        return 1000 * median(self.seconds[way])

    def ratio(self, way: str, to: str) -> float:
        return median(a / b for a, b in zip(self.seconds[way], self.seconds[to], strict=True))


def take_turns(ways: dict[str, Callable[[], Tensor]], rounds: int) -> Rounds:
    """Runs every way once without the clock, then all of them in each round."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return Rounds(seconds)


@torch.no_grad()
def sampling(profile: Profile, spec: LatentSpec, frames: int, rounds: int) -> tuple[Figures, float]:
    """Milliseconds of a generated pixel frame by way of sampling, and how far the uncached latents are off."""
    section = profile.worldgen_bidirectional
    denoiser = new_denoiser(section.model, spec).eval()
    few = few_step_sigmas(section.noise.few_steps, section.noise.shift)
    many = profile.rollout.steps
    conditions = random_conditions(spec, 1, frames)
    noise = sample_noise(["benchmark"], profile.seed, len(few), (frames, spec.channels, *spec.grid))
    quick, slow = few_step_solver(few), euler_solver(euler_sigmas(many, section.noise.shift))
    cached, uncached, euler = f"{len(few)} steps, cache", f"{len(few)} steps, no cache", f"{many} steps, cache"
    ways: dict[str, Callable[[], Tensor]] = {
        cached: lambda: sample_causal(denoiser, conditions, noise, quick),
        uncached: lambda: sample_uncached(denoiser, conditions, noise, quick),
        euler: lambda: sample_causal(denoiser, conditions, noise[:, :1], slow),
    }
    off = float((ways[cached]() - ways[uncached]()).abs().max())
    timed, made = take_turns(ways, rounds), TEMPORAL_STRIDE * (frames - 1)
    return {way: {"ms_per_frame": timed.ms(way) / made, "ratio": timed.ratio(way, cached)} for way in ways}, off


@torch.inference_mode()
def features(profile: Profile, frames: int, rounds: int) -> Figures:
    """Milliseconds of I3D's features of one clip by kind of convolution; nothing without the weights."""
    from evaluation.extractors.i3d import I3D
    from evaluation.extractors.preprocess import for_i3d
    from evaluation.extractors.weights import I3D_K400, load_tensors

    try:
        network = I3D(load_tensors(I3D_K400))
    except MissingDependencyError:
        return {}
    size = (frames, profile.prepare.height, profile.prepare.width, 3)
    video = for_i3d(np.random.default_rng(0).integers(0, 256, size, np.uint8), "squash224")

    def plain() -> Tensor:
        with patch("torch.backends.mkldnn.is_available", return_value=False):
            logits: Tensor = network(video)
        return logits

    timed = take_turns({"oneDNN": lambda: network(video), "conv3d": plain}, rounds)
    return {way: {"ms_per_clip": timed.ms(way), "ratio": timed.ratio(way, "oneDNN")} for way in ("oneDNN", "conv3d")}


def print_table(title: str, rows: Figures) -> None:
    """A row a name, a column a figure; 80 columns at most."""
    columns = list(next(iter(rows.values()))) if rows else []
    print(f"\n{title}")
    print(f"{'':24}" + "".join(f"{name.replace('_', ' '):>16}" for name in columns))
    for name, row in rows.items():
        print(f"{name:24}" + "".join(f"{_say(row[column]):>16}" for column in columns))


def _say(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--frames", type=int, help="of a sampled clip, 1 + 4 k (default: the profile's)")
    parser.add_argument("--steps", type=int, default=15, help="training steps that are timed (default 15)")
    parser.add_argument("--rounds", type=int, default=5, help="of what takes turns (default 5)")
    parser.add_argument("--threads", type=int, help="default: the profile's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    profile = read_profile(profile_path(ROOT, options.profile))
    frames = options.frames or profile.train_tokenizer.frames
    if frames <= 1 or frames % TEMPORAL_STRIDE != 1:
        parser.error(f"--frames {frames}: must be 1 + {TEMPORAL_STRIDE} k")
    threads = options.threads or profile.threads
    torch.set_num_threads(threads)
    torch.manual_seed(profile.seed)
    spec = latent_spec(profile)
    latent_frames = [1 + (n - 1) // TEMPORAL_STRIDE for n in (profile.train_tokenizer.frames, frames)]
    trained = training(profile, spec, latent_frames[0], options.steps)
    sampled, off = sampling(profile, spec, latent_frames[1], options.rounds)
    measured = features(profile, profile.train_tokenizer.frames - 1, options.rounds)
    sizes = {"channels": spec.channels, "grid": list(spec.grid), "frames": frames, "threads": threads}
    if options.json:
        found = {"sizes": sizes, "training": trained, "sampling": sampled, "uncached_off_by": off, "I3D": measured}
        print(json.dumps(found))
        return
    print(", ".join(f"{name} {value}" for name, value in {"profile": options.profile, **sizes}.items()))
    print_table("training", trained)
    print_table("sampling of one clip, latents alone; ratio to the first", sampled)
    print(f"largest difference of the latents without cache: {off:.1e}")
    print_table("I3D, one clip; ratio to the first", measured)
    if not measured:
        print("left out: no weights (worldmodel metrics fetch-weights)")


if __name__ == "__main__":
    main()
