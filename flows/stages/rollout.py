"""Stage `rollout`: videos of held-out samples by every method, and what they are compared with.

Writes index.json and videos/<name>/<sample_id>.safetensors (rgb uint8 [T, H, W, 3]): of each method, of the given frame
repeated (raw, and through the tokenizer), of the student by further seeds, and the true frames through the tokenizer;
or not_applicable.json. A batch is done or not done: a killed run goes on with the next.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.generation import missing_input, not_applicable
from flows.manifest import file_sha256
from flows.stage import Stage, main, write_json
from flows.training import prepare_torch
from worldmodel.data.atomic import atomic_directory
from worldmodel.worldgen.config import RolloutConfig
from worldmodel.worldgen.rollout import RECIPES, STUDENT, Choice, Role, choose
from worldmodel.worldgen.samples import SampleRow

if TYPE_CHECKING:
    from worldmodel.worldgen.latents import LatentStore
    from worldmodel.worldgen.videos import VideoMaker

REPEAT, TRUTH = "repeat_last_frame", "tokenizer"


@dataclass(frozen=True)
class Folder:
    """One folder of videos: its name, the samples it holds, and which videos of them (see `VideoMaker.make`)."""

    name: str
    rows: Sequence[SampleRow]
    made: str
    again: int = 0


def run(stage: Stage[RolloutConfig]) -> None:
    reason = missing_input(stage, "train_tokenizer")
    if reason is not None:
        not_applicable(stage, reason)
        return
    prepare_torch(stage, stage.params.accelerator)
    from worldmodel.worldgen.latents import LatentStore

    store = LatentStore(stage.input("train_tokenizer"))
    choice = choose(store.rows, stage.params)
    unsampled = _unsampled(stage, store)
    if not choice.generated:
        reasons = sorted({f"{entry['source']}: {entry['reason']}" for entry in [*unsampled, *choice.left_out]})
        not_applicable(stage, "; ".join(["no held-out sample can be generated", *reasons]))
        return
    methods, left_out = _methods(stage)
    spread = _spread(stage.params, methods, choice)
    _videos(stage, _maker(stage, store), [*_folders(methods, choice), *spread])
    index = {
        "schema_version": 1,
        "frames": store.frames,
        "rate_hz": store.rate_hz,
        "methods": methods,
        "samples": _samples(choice),
        "tokenizer_sha256": store.index.tokenizer_sha256,
        "left_out": [*left_out, *unsampled, *choice.left_out],
        "spread": _spread_entry(spread),
    }
    write_json(stage.out / "index.json", index)
    stage.say(f"{len(choice.generated)} samples by {len(methods)} methods, {len(choice.reference)} to compare with")


def _unsampled(stage: Stage[RolloutConfig], store: "LatentStore") -> list[dict[str, str]]:
    """Held-out clips, or cameras of them, that became no sample at all, with the reason."""
    from worldmodel.data.shards import ClipStore

    clips, found = ClipStore(stage.input("prepare")), []
    for item in store.index.left_out:
        row = clips.row(item.clip_id)
        if row["split"] == stage.params.split or row["heldout_frames"]:
            name = item.clip_id if item.camera is None else f"{item.clip_id}.{item.camera}"
            found.append({"sample_id": name, "source": row["source"], "reason": item.reason})
    return found


def _methods(stage: Stage[RolloutConfig]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The methods that can be run, with steps (null: no network) and weights, and the others with the reason."""
    from worldmodel.worldgen.generator_files import load_sampling

    methods: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for name in stage.params.methods:
        if name == REPEAT:
            methods.append({"name": name, "steps": None, "weights_sha256": None})
            continue
        recipe = RECIPES[name]
        reason = missing_input(stage, recipe.stage)
        if reason is not None:
            left_out.append({"method": name, "reason": reason})
            continue
        folder = stage.input(recipe.stage)
        few = len(load_sampling(folder).noise.few_steps)
        steps = few if recipe.sampler == "few_step" else stage.params.steps
        methods.append({"name": name, "steps": steps, "weights_sha256": file_sha256(folder / "model.safetensors")})
    return methods, left_out


def _maker(stage: Stage[RolloutConfig], store: "LatentStore") -> "VideoMaker":
    from worldmodel.data.shards import ClipStore
    from worldmodel.worldgen.codec.files import load_codec
    from worldmodel.worldgen.videos import VideoMaker

    codec = load_codec(stage.input("train_tokenizer") / "tokenizer").to(stage.params.accelerator)
    weights = {recipe.stage: stage.root / "artifacts" / recipe.stage for recipe in RECIPES.values()}
    return VideoMaker(store, ClipStore(stage.input("prepare")), codec, weights, stage.params, stage.seed)


def _folders(methods: Sequence[dict[str, Any]], choice: Choice) -> list[Folder]:
    made = [TRUTH, *(method["name"] for method in methods)]
    if REPEAT in made:
        made.insert(made.index(REPEAT) + 1, f"{REPEAT}_tokenizer")
    rows = {TRUTH: [*choice.generated, *choice.reference]}
    return [Folder(name, rows.get(name, choice.generated), name) for name in made]


def _spread(config: RolloutConfig, methods: Sequence[dict[str, Any]], choice: Choice) -> list[Folder]:
    """The student's first samples by further seeds; none where it is not rolled out."""
    seeds = range(1, config.spread_seeds + 1) if any(method["name"] == STUDENT for method in methods) else ()
    rows = choice.generated[: config.spread_samples]
    return [Folder(f"{STUDENT}_seed_{again}", rows, STUDENT, again) for again in seeds]


def _spread_entry(folders: Sequence[Folder]) -> dict[str, object] | None:
    if not folders:
        return None
    samples = [row.sample_id for row in folders[0].rows]
    return {"method": folders[0].made, "folders": [folder.name for folder in folders], "sample_ids": samples}


def _videos(stage: Stage[RolloutConfig], maker: "VideoMaker", folders: Sequence[Folder]) -> None:
    """Makes every folder's videos, batch by batch, and copies them to the output."""
    size = stage.params.batch_size
    total, done = sum(len(folder.rows) for folder in folders), 0
    for folder in folders:
        target = stage.out / "videos" / folder.name
        target.mkdir(parents=True)
        for number, rows in enumerate(_batches(folder.rows, size)):
            kept = stage.resume_dir / f"{folder.name}-{number:04d}"
            if not kept.is_dir():
                _make(maker, folder, rows, kept)
            for path in sorted(kept.iterdir()):
                shutil.copyfile(path, target / path.name)
            done += len(rows)
            stage.progress(done, total, "videos")
            stage.check_stop()


def _batches(rows: Sequence[SampleRow], size: int) -> Iterator[Sequence[SampleRow]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _make(maker: "VideoMaker", folder: Folder, rows: Sequence[SampleRow], kept: Path) -> None:
    """One batch, aside and then renamed."""
    import torch
    from safetensors.torch import save

    videos = maker.make(folder.made, rows, folder.again)
    with atomic_directory(kept) as directory:
        for row, video in zip(rows, videos, strict=True):
            path = directory / f"{row.sample_id}.safetensors"
            path.write_bytes(save({"rgb": torch.from_numpy(video).contiguous()}))


def _samples(choice: Choice) -> list[dict[str, object]]:
    return [
        *(_entry(row, "generated") for row in choice.generated),
        *(_entry(row, "reference") for row in choice.reference),
    ]


def _entry(row: SampleRow, role: Role) -> dict[str, object]:
    names = ("sample_id", "clip_id", "log_id", "source", "camera", "split", "same_log")
    return {name: getattr(row, name) for name in names} | {"frame_indices": list(row.frame_indices), "role": role}


if __name__ == "__main__":
    main("rollout", RolloutConfig, run)
