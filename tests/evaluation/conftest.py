"""Small finished outputs of `prepare` and `reconstruct`, written by the project's own writers, to evaluate for real."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluation.base import Interval, fingerprint
from evaluation.metrics.catalogue import METRICS, METRICS_VERSION
from evaluation.protocols import PRESETS
from evaluation.report import (
    NEAREST,
    Baseline,
    ClipValue,
    DataIdentity,
    Group,
    Metric,
    ModelIdentity,
    Protocol,
    Report,
    SourceFacts,
    Statistics,
)
from evaluation.suite import Measured
from worldmodel.data.manifest import ClipRow, Split, describe_clip, write_manifest
from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.data.schema import Clip
from worldmodel.data.shards import pack_clip, write_shard
from worldmodel.data.sources import ResolvedSource, write_sources

H, W, STRIDE = 24, 32, 5
MODEL_SHA256 = "a" * 64


@dataclass
class Made:
    """One clip to write: `noise` is added to the truth to make its renders (0: perfect renders)."""

    log: str
    source: str = "synthetic"
    split: Split = "test"
    noise: float = 0.05
    same_log: bool = False
    lidar: bool = False
    masks: bool = True
    n_frames: int = 7
    depth_edit: Callable[[np.ndarray], None] | None = None


@pytest.fixture
def make_clip() -> Callable[..., Clip]:
    """A clip as it is written, without writing it."""
    return lambda **fields: build_clip("clip", Made("log", **fields), seed=0)


def build_clip(clip_id: str, made: Made, seed: int) -> Clip:
    """A wall 10 m ahead whose stripes move sideways; two cameras; the upper third is sky without depth."""
    rng = np.random.default_rng(seed)
    t, v, y, x = np.meshgrid(np.arange(made.n_frames), np.arange(2), np.arange(H), np.arange(W), indexing="ij")
    wave = np.sin(0.35 * (x + 2 * t + 11 * v) + 0.2 * y + rng.uniform(0, 6))
    rgb = np.stack([0.5 + 0.4 * wave, 0.5 + 0.3 * np.cos(0.2 * y + wave), 0.2 + 0.6 * y / H], -1)
    sky, dynamic = y < H // 3, (abs(x - 16) < 4) & (y > 2 * H // 3)
    depth = np.where(sky, 0.0, 10.0).astype(np.float32)
    if made.lidar:
        depth[..., ::2] = 0
    poses = np.broadcast_to(np.eye(4), (made.n_frames, 2, 4, 4)).copy()
    return Clip(
        clip_id=clip_id,
        log_id=made.log,
        source=made.source,
        licence="CC0-1.0",
        cameras=("left", "right"),
        rate_hz=10.0,
        times_s=np.arange(made.n_frames) / 10,
        rgb=(255 * rgb.clip(0, 1)).astype(np.uint8),
        Ks=np.broadcast_to(np.array([[30.0, 0, W / 2], [0, 30.0, H / 2], [0, 0, 1]]), (2, 3, 3)).copy(),
        world_from_camera=poses,
        world_from_ego=poses[:, 0],
        depth=depth,
        depth_kind="lidar" if made.lidar else "dense",
        sky=sky if made.masks else None,
        dynamic=dynamic if made.masks else None,
        tags={"weather": "clear", "time_of_day": "day"},
    )


@pytest.fixture(scope="session")
def write_measured() -> Callable[..., Measured]:
    """Writes prepare and reconstruct outputs of clips given as fields of `Made`: `(root, {"log": "a"}, ...)`."""

    def write(root: Path, *clips: dict[str, Any], sources: Sequence[str] | None = None) -> Measured:
        made = [Made(**fields) for fields in clips]
        return write_outputs(root, made, sources or sorted({one.source for one in made}))

    return write


@pytest.fixture
def measured(write_measured: Callable[..., Measured], tmp_path: Path) -> Callable[..., Measured]:
    """`write_measured` into the test's own directory."""

    def write(*clips: dict[str, Any], root: Path = tmp_path, **kwargs: Any) -> Measured:
        return write_measured(root, *clips, **kwargs)

    return write


def write_outputs(root: Path, clips: Sequence[Made], sources: Sequence[str]) -> Measured:
    prepare, reconstruct = root / "prepare", root / "reconstruct"
    (reconstruct / "renders").mkdir(parents=True, exist_ok=True)
    packed, rows, index = [], [], []
    for i, made in enumerate(clips):
        clip = build_clip(f"{made.source}-{i:03d}", made, seed=i)
        targets = target_frames(made.n_frames, STRIDE)
        packed.append(pack_clip(clip))
        rows.append(_row(clip, made, packed[-1].sha256, len(packed[-1].data)))
        index.append(
            {
                "clip_id": clip.clip_id,
                "log_id": clip.log_id,
                "source": clip.source,
                "split": made.split,
                "same_log": made.same_log,
                "context_frames": list(context_frames(made.n_frames, STRIDE)),
                "target_frames": list(targets),
                "n_gaussians": 100,
            }
        )
        _write_renders(reconstruct / "renders" / f"{clip.clip_id}.safetensors", clip, made, targets, seed=100 + i)
    offsets = write_shard(prepare / "shards" / "shard-00000.tar", [p.data for p in packed])
    write_manifest(prepare / "clips.parquet", [{**row, "offset": at} for row, at in zip(rows, offsets, strict=True)])
    write_sources(prepare / "sources.json", [ResolvedSource(name, "synthetic", None) for name in sources])
    content = {"model_sha256": MODEL_SHA256, "protocol": {"context_stride": STRIDE}, "clips": index}
    (reconstruct / "index.json").write_text(json.dumps(content))
    return Measured(ModelIdentity(name="WorldModel", sha256=MODEL_SHA256), prepare, reconstruct)


def _row(clip: Clip, made: Made, sha256: str, size: int) -> ClipRow:
    held_out = list(target_frames(made.n_frames, STRIDE)) if made.split == "train" else []
    place = {"shard": "shard-00000.tar", "offset": 0, "byte_size": size, "sha256": sha256}
    return {**describe_clip(clip), "split": made.split, "heldout_frames": held_out, **place}


def _write_renders(path: Path, clip: Clip, made: Made, targets: tuple[int, ...], seed: int) -> None:
    truth = clip.rgb[list(targets)]
    noise = np.random.default_rng(seed).normal(0, 255 * made.noise, truth.shape) if made.noise else 0
    depth = np.full(truth.shape[:-1], 11.0, np.float32)
    if made.depth_edit is not None:
        made.depth_edit(depth)
    rgb = np.clip(np.round(truth + noise), 0, 255).astype(np.uint8)
    save_file({"rgb": rgb, "depth": depth, "alpha": np.ones_like(depth)}, path)


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """Reports without rendering anything: `make_report(synthetic={"image/psnr": [20.0, 21.0]})`, values by clip."""
    return build_report


def build_report(
    *,
    sha256: str = MODEL_SHA256,
    data: str = "d" * 64,
    stride: int = 5,
    split: str = "test",
    same_log: tuple[str, ...] = (),
    **sources: dict[str, list[float | None]],
) -> Report:
    """One group a source. Nearest context is 2 worse than the model on every clip, with an interval from 1 to 3."""
    protocol = Protocol(preset=PRESETS["tiny"], context_stride=stride, metrics_version=METRICS_VERSION, sources={})
    groups = []
    for source, metrics in sources.items():
        n = max(map(len, metrics.values()), default=1)
        groups.append(
            Group(
                source=source,
                split="train" if source in same_log else split,
                same_log=source in same_log,
                n_clips=n,
                n_logs=n,
                metrics=tuple(build_metric(key, values) for key, values in metrics.items()),
                beats_baseline=True,
                sentence=f"On {source} all is well.",
            )
        )
    return Report(
        model=ModelIdentity(name="WorldModel", sha256=sha256),
        data=DataIdentity(sha256=data, sources=tuple(SourceFacts(name=s, clips={}, logs={}) for s in sources)),
        protocol=protocol,
        protocol_fingerprint=fingerprint(protocol),
        statistics=Statistics(resamples=2000, seed=0),
        groups=tuple(groups),
        training=None,
        beats_baseline=True,
        summary="All is well.",
    )


def build_metric(key: str, values: list[float | None], difference: float = 2.0) -> Metric:
    """A metric of clips c0, c1, ... of logs l0, l1, ...; a None among the values is a NaN that was found."""
    spec, known = METRICS[key], [value for value in values if value is not None]
    complete = len(known) == len(values)
    value = sum(known) / len(known) if complete else None
    sign = 1.0 if spec.direction == "up" else -1.0
    spread = Interval(low=min(sign, 3 * sign), high=max(sign, 3 * sign))
    nearest = (
        None
        if value is None
        else Baseline(value=value - sign * difference, difference=sign * difference, difference_ci95=spread)
    )
    return Metric(
        id=key,
        region="all",
        unit=spec.unit,
        direction=spec.direction,
        value=value,
        problem=None if complete else "NaN in 1 of 6 images, first in clip c0, frame 1, camera front",
        n_images=len(values),
        n_clips=len(values),
        n_logs=len(values),
        ci95=None if value is None else Interval(low=value - 1, high=value + 1),
        no_interval=None if complete else "no value",
        baselines={} if nearest is None else {NEAREST: nearest},
        per_clip=tuple(ClipValue(clip_id=f"c{i}", log_id=f"l{i}", n_images=1, value=v) for i, v in enumerate(values)),
    )
