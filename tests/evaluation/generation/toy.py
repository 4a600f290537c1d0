"""Small rollouts of the clips that `conftest.measured` writes, and feature networks that need no weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from evaluation.extractors.identity import Kind
from evaluation.generation.rollouts import Rollouts, read_rollouts
from evaluation.protocols import GenerationPreset, Preprocess
from evaluation.slices import Slicing, clip_facts
from tests.evaluation.toy_perceptual import ToyNetworks, toy_identity
from worldmodel.data.shards import ClipStore

FRAMES = 7
PRESET = GenerationPreset(rate_hz=10.0, window=6, min_logs=4, image_stride=3, lpips="alex", lpips_stride=2)
Video = NDArray[np.uint8]
Continue = Callable[[Video], NDArray[np.float64]]


def repeated(video: Video) -> NDArray[np.float64]:
    """The first frame at every time."""
    return np.repeat(video[:1], len(video), 0).astype(float)


def darker(by: float) -> Continue:
    """The truth less a constant."""
    return lambda video: video - by


METHODS: Mapping[str, Continue] = {
    "repeat_last_frame": repeated,
    "teacher_forcing": darker(8.0),
    "teacher_forcing_4step": darker(20.0),
    "dmd": darker(4.0),
}


class ToyFeatures:
    """Mean colour of the lower half, and mean motion: [4] of a video; the mean colour alone: [T, 3] of images.

    Stands in for a canonical network. Keeps what it was asked for.
    """

    def __init__(self, name: str = "i3d-k400", kind: Kind = "canonical", min_frames: int = 4) -> None:
        self.identity, self.min_frames = toy_identity(name, kind), min_frames
        self.known: dict[str, NDArray[np.float64]] = {}

    def cached(self, digest: str, load: Callable[[], Video], name: str = "") -> NDArray[np.float64]:
        if digest not in self.known:
            self.known[digest] = self.of(load())
        return self.known[digest]

    def of(self, frames: Video) -> NDArray[np.float64]:
        """The features, as they are kept: in single precision."""
        video = frames.astype(float) / 255
        colours = video[:, video.shape[1] // 2 :].mean((1, 2))
        if self.identity.id != "i3d-k400":
            return np.float32(colours).astype(float)
        return np.float32([*colours.mean(0), np.abs(np.diff(video, axis=0)).mean()]).astype(float)


class ToyVideoNetworks(ToyNetworks):
    """Stand-ins for every network; `closed`: those of distances must not be asked for a feature."""

    def __init__(self, kind: Kind = "canonical", min_frames: int = 4, closed: bool = False) -> None:
        super().__init__(kind)
        self.of_videos = ToyFeatures("i3d-k400", kind, min_frames)
        self.of_images = ToyFeatures("inception-2015-12-05", kind)
        self.closed = closed

    def videos(self, preprocess: Preprocess) -> ToyFeatures:
        assert not self.closed, "the video network was opened"
        return self.of_videos

    def images(self) -> ToyFeatures:
        assert not self.closed, "the image network was opened"
        return self.of_images


def slicing_of(rollouts: Rollouts, min_clips: int = 2) -> Slicing:
    """The facts of every clip of the rollouts."""
    store, ids = rollouts.store, {sample.clip_id for sample in rollouts.index.samples}
    return Slicing({name: clip_facts(store.row(name), store.load(name)) for name in sorted(ids)}, min_clips)


def write_rollouts(root: Path, prepare: Path, methods: Mapping[str, Continue] = METHODS) -> Path:
    """Rolls out the left camera of every test clip, with every train clip as reference; the tokenizer loses a bit."""
    store, samples = ClipStore(prepare), []
    for clip_id in store.clip_ids():
        row, clip = store.row(clip_id), store.load(clip_id)
        role = "reference" if row["split"] == "train" else "generated"
        sample = {key: row[key] for key in ("clip_id", "log_id", "source", "split")}
        sample |= {"sample_id": f"{clip_id}.left.000", "camera": "left", "frame_indices": list(range(FRAMES))}
        samples.append(sample | {"same_log": False, "role": role})
        truth = np.ascontiguousarray(clip.rgb[:FRAMES, 0])
        made = {"tokenizer": truth - 1.0}
        if role == "generated":
            made |= {name: method(truth) for name, method in methods.items()}
            made["repeat_last_frame_tokenizer"] = repeated(truth) - 1.0
        for name, video in made.items():
            path = root / "videos" / name / f"{clip_id}.left.000.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"rgb": np.clip(video, 0, 255).astype(np.uint8)}, path)
    entries = [{"name": name, "steps": 4, "weights_sha256": "b" * 64} for name in methods]
    index = {"frames": FRAMES, "rate_hz": 10.0, "methods": entries, "samples": samples, "tokenizer_sha256": "c" * 64}
    (root / "index.json").write_text(json.dumps({"schema_version": 1, "left_out": [], **index}))
    return root


def edit_index(root: Path, edit: Callable[[dict[str, object]], None]) -> None:
    """Changes index.json in place."""
    path = root / "index.json"
    index = json.loads(path.read_text())
    edit(index)
    path.write_text(json.dumps(index))


def clips(test: int, train: int) -> list[dict[str, str]]:
    """Fields of one clip a log, for `measured`."""
    return [
        {"log": f"{split}-{i}", "split": split} for split, n in (("test", test), ("train", train)) for i in range(n)
    ]


def open_rollouts(root: Path, prepare: Path) -> Rollouts:
    return Rollouts(root, read_rollouts(root), ClipStore(prepare))
