"""Stage `train_tokenizer`: fits or trains the codec on training clips and takes every sample through it, once.

Reads training clips without held-out frames for the codec, and needs the `validate` verdict. A pretrained codec is
taken as it is. Writes tokenizer/, latents/<sample_id>.safetensors and index.json; or not_applicable.json where no
sample can be trained on (with a pretrained codec: where there is none at all; its tokenizer/ is then there as well).
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from flows.checks.verdict import require_fit
from flows.manifest import file_sha256
from flows.stage import Stage, main, write_json
from worldmodel.data.atomic import atomic_directory
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError, ParamsError
from worldmodel.worldgen.samples import Chosen, SampleRow, apart, choose_samples
from worldmodel.worldgen.tokenizer_config import PretrainedCodec, TrainTokenizerConfig

if TYPE_CHECKING:
    from worldmodel.worldgen.codec.base import Codec
    from worldmodel.worldgen.priors import PriorStore

TOKENIZER_FOLDER, ENTRIES_FILE = "tokenizer", "entries.json"


def run(stage: Stage[TrainTokenizerConfig]) -> None:
    require_fit(stage.input("validate") / "verdict.json")
    store = ClipStore(stage.input("prepare"))
    chosen = choose_samples([store.row(clip_id) for clip_id in store.clip_ids()], stage.params)
    train = [row for row in chosen.samples if row.split == "train"]
    pretrained = stage.params.pretrained
    if pretrained is not None:
        _take(pretrained, stage)
    if not (train if pretrained is None else chosen.samples):
        which = "no clip of the train split" if pretrained is None else "no clip"
        _not_applicable(stage, which, chosen)
        return
    import torch

    from worldmodel.worldgen.priors import PriorStore

    # the linear codec's operations are small: more threads are no faster, and far slower on a busy machine
    torch.set_num_threads(1 if stage.params.codec == "linear" else stage.threads)
    # some CUDA kernels have no deterministic form; on the CPU all of them must
    torch.use_deterministic_algorithms(True, warn_only=stage.params.accelerator != "cpu")
    priors = PriorStore(stage.input("render_priors"))
    stage.say(f"{len(train)} training samples, {len(chosen.samples)} in all, {len(chosen.left_out)} left out")
    codec = _codec(stage, store, train)
    entries = _encode_all(stage, store, codec, chosen.samples, priors)
    _write_index(stage, store, chosen, entries)


def _not_applicable(stage: Stage[TrainTokenizerConfig], which: str, chosen: Chosen) -> None:
    common = Counter(item.reason for item in chosen.left_out).most_common(1)
    reason = f"{which} can become a sample{''.join(f': {text} ({n} of them)' for text, n in common)}; see left_out"
    write_json(
        stage.out / "not_applicable.json",
        {"reason": reason, "left_out": [asdict(item) for item in chosen.left_out]},
    )
    stage.say(reason)


def _take(pretrained: PretrainedCodec, stage: Stage[TrainTokenizerConfig]) -> None:
    """Copies a codec's two files to the output, byte for byte.

    Raises:
        DataError: its weights are missing, or others than the params say.
    """
    from worldmodel.worldgen.codec.files import CONFIG_FILE, WEIGHTS_FILE

    folder = stage.root / pretrained.folder
    weights = folder / WEIGHTS_FILE
    found = file_sha256(weights) if weights.is_file() else "no such file"
    if found != pretrained.sha256:
        raise DataError(
            f"{weights}: not the tokenizer that train_tokenizer.pretrained names",
            expected=f"sha256 {pretrained.sha256}",
            got=found,
            fix="correct folder or sha256; null fits a tokenizer on the training clips",
        )
    (stage.out / TOKENIZER_FOLDER).mkdir()
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        shutil.copyfile(folder / name, stage.out / TOKENIZER_FOLDER / name)


def _codec(stage: Stage[TrainTokenizerConfig], store: ClipStore, train: list[SampleRow]) -> "Codec":
    """The tokenizer, made unless a killed run already did, or taken; also in the output.

    Raises:
        ParamsError: the pretrained one is of another kind.
    """
    from worldmodel.worldgen.codec.files import load_codec, save_codec

    if stage.params.pretrained is not None:
        taken = load_codec(stage.out / TOKENIZER_FOLDER)
        if taken.kind != stage.params.codec:
            what = "train_tokenizer.codec is not the kind of train_tokenizer.pretrained"
            raise ParamsError(what, expected=taken.kind, got=stage.params.codec, fix="name the pretrained one's kind")
        return taken.to(stage.params.accelerator)
    kept = stage.resume_dir / TOKENIZER_FOLDER
    if not kept.is_dir():
        codec = _fit_linear(stage, store, train) if stage.params.codec == "linear" else _wan(stage, store, train)
        with atomic_directory(kept) as aside:
            save_codec(codec, aside)
    shutil.copytree(kept, stage.out / TOKENIZER_FOLDER)
    return load_codec(kept).to(stage.params.accelerator)


def _fit_linear(stage: Stage[TrainTokenizerConfig], store: ClipStore, train: list[SampleRow]) -> "Codec":
    from worldmodel.worldgen.codec.linear import LinearFit
    from worldmodel.worldgen.encoding import to_frames

    fit, done, used = LinearFit(stage.params.linear), 0, apart(train)
    for clip_id, rows in _by_clip(used):
        frames = sorted({t for row in rows for t in row.frame_indices})
        clip = store.load(clip_id, frames)
        for row in rows:
            fit.add(to_frames(clip, row.camera, [frames.index(t) for t in row.frame_indices]))
        done += len(rows)
        stage.progress(done, len(used), "samples fitted")
        stage.check_stop()
    codec = fit.finish()
    one, four = (float(kind[-1] / kind[0].clamp(min=1e-12)) for kind in fit.deviations(codec))
    stage.say(f"deviation of the last latent channel against the first: {one:.3f} of one frame, {four:.3f} of four")
    return codec


def _wan(stage: Stage[TrainTokenizerConfig], store: ClipStore, train: list[SampleRow]) -> "Codec":
    from worldmodel.training.follow import Follow
    from worldmodel.worldgen.codec.wan import load_pretrained
    from worldmodel.worldgen.codec.wan_training import TrainingWindows, normalised, spread, train_wan
    from worldmodel.worldgen.encoding import to_frames

    config = stage.params.wan
    if config.pretrained is not None:
        return load_pretrained(config.pretrained)
    follow = Follow(
        progress=lambda done, total: stage.progress(done, total, "steps"),
        metrics=lambda step, values: stage.log_metrics(step, **values),
        say=stage.say,
        should_stop=lambda: stage.stop_requested,
    )
    windows = TrainingWindows(store, train)
    vae = train_wan(config.architecture, config.train, windows, stage.seed, stage.resume_dir, follow)
    measured = spread(train, config.statistics_samples)
    videos = (to_frames(store.load(row.clip_id, row.frame_indices), row.camera) for row in measured)
    return normalised(config.architecture, vae, videos, stage.params.accelerator)


def _encode_all(
    stage: Stage[TrainTokenizerConfig],
    store: ClipStore,
    codec: "Codec",
    samples: Sequence[SampleRow],
    priors: "PriorStore",
) -> list[dict[str, Any]]:
    """Index entries of all samples, with their PSNR; clips that a killed run finished are copied."""
    (stage.out / "latents").mkdir()
    entries: list[dict[str, Any]] = []
    for clip_id, rows in _by_clip(samples):
        kept = stage.resume_dir / "clips" / clip_id
        if not kept.is_dir():
            with atomic_directory(kept) as aside:
                _encode_clip(stage, store, codec, rows, priors, aside)
        for row in rows:
            shutil.copyfile(_file(kept, row), _file(stage.out / "latents", row))
        entries += json.loads((kept / ENTRIES_FILE).read_text())
        stage.progress(len(entries), len(samples), "samples")
        stage.check_stop()
    return entries


def _encode_clip(
    stage: Stage[TrainTokenizerConfig],
    store: ClipStore,
    codec: "Codec",
    rows: list[SampleRow],
    priors: "PriorStore",
    out: Path,
) -> None:
    from safetensors.torch import save

    from worldmodel.worldgen.encoding import encode_samples

    encoded = encode_samples(codec, store.load(rows[0].clip_id), rows, priors, stage.params.accelerator)
    for sample in encoded:
        _file(out, sample.row).write_bytes(save(sample.tensors))
    write_json(out / ENTRIES_FILE, [{"row": asdict(sample.row), "psnr": sample.psnr} for sample in encoded])


def _write_index(
    stage: Stage[TrainTokenizerConfig], store: ClipStore, chosen: Chosen, entries: list[dict[str, Any]]
) -> None:
    from pydantic import TypeAdapter

    from worldmodel.worldgen.codec.files import WEIGHTS_FILE
    from worldmodel.worldgen.latents import INDEX_FILE, LatentIndex

    params, size = stage.params, store.row(chosen.samples[0].clip_id)
    psnr: dict[str, list[float]] = {}
    for entry in entries:
        name = "same_log" if entry["row"]["same_log"] else entry["row"]["split"]
        psnr.setdefault(name, []).append(entry["psnr"])
    index = LatentIndex(
        codec=params.codec,
        tokenizer_sha256=file_sha256(stage.out / TOKENIZER_FOLDER / WEIGHTS_FILE),
        frames=params.frames,
        rate_hz=params.rate_hz,
        image_size=(size["height"], size["width"]),
        latent_shape=_latent_shape(stage, chosen.samples[0]),
        tag_keys=params.tag_keys,
        vocabulary=chosen.vocabulary,
        samples=TypeAdapter(tuple[SampleRow, ...]).validate_python([entry["row"] for entry in entries]),
        left_out=tuple(chosen.left_out),
        psnr={name: round(fmean(values), 4) for name, values in sorted(psnr.items())},
    )
    write_json(stage.out / INDEX_FILE, index.model_dump(mode="json"))
    stage.log_metrics(0, **{f"tokenizer_psnr_{name}": value for name, value in index.psnr.items()})
    stage.say(f"PSNR through the tokenizer, dB: {index.psnr}")


def _latent_shape(stage: Stage[TrainTokenizerConfig], row: SampleRow) -> tuple[int, int, int]:
    from safetensors import safe_open

    with safe_open(_file(stage.out / "latents", row), "pt") as file:
        _, channels, height, width = file.get_slice("z").get_shape()
    return channels, height, width


def _by_clip(rows: Sequence[SampleRow]) -> list[tuple[str, list[SampleRow]]]:
    """Samples of one clip lie together."""
    return [(clip_id, list(group)) for clip_id, group in groupby(rows, lambda row: row.clip_id)]


def _file(folder: Path, row: SampleRow) -> Path:
    return folder / f"{row.sample_id}.safetensors"


if __name__ == "__main__":
    main("train_tokenizer", TrainTokenizerConfig, run)
