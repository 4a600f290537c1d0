"""Stage `reconstruct`: runs WorldRec on the context frames of held-out clips and renders their target frames.

Held-out clips are those of the chosen splits, and the clips whose held-out frames the training left alone (same log).
Writes index.json, renders/<clip_id>.safetensors and gaussians/<clip_id>.safetensors; or not_applicable.json.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.manifest import file_sha256
from flows.stage import Stage, main, write_json
from worldmodel.data.manifest import ClipRow
from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.data.shards import ClipStore
from worldmodel.worldrec.config import ReconstructConfig

if TYPE_CHECKING:
    from worldmodel.worldrec.inference import Reconstruction
    from worldmodel.worldrec.model import WorldRec
    from worldmodel.worldrec.views import ClipTensors


def run(stage: Stage[ReconstructConfig]) -> None:
    trained = stage.input("train_worldrec")
    store = ClipStore(stage.input("prepare"))
    rows, left_out = _chosen(store, stage.params)
    if not (trained / "model.safetensors").is_file():
        _not_applicable(stage, "train_worldrec was not applicable, so there is no model")
        return
    if not rows:
        _not_applicable(stage, "no held-out clip has camera poses")
        return
    import torch

    from worldmodel.worldrec.weights import WEIGHTS_FILE, load_worldrec

    torch.set_num_threads(stage.threads)
    torch.use_deterministic_algorithms(True)
    model = load_worldrec(trained).to(stage.params.accelerator)
    entries = []
    for done, row in enumerate(rows):
        entries.append(_clip(stage, store, model, row))
        stage.progress(done + 1, len(rows), "clips")
        stage.check_stop()
    index = {
        "schema_version": 1,
        "protocol": {"name": "storm", "context_stride": stage.params.context_stride},
        "model_sha256": file_sha256(trained / WEIGHTS_FILE),
        "clips": entries,
        "left_out": left_out,
    }
    write_json(stage.out / "index.json", index)
    stage.say(f"{len(entries)} clips reconstructed, {len(left_out)} left out")


def _chosen(store: ClipStore, config: ReconstructConfig) -> tuple[list[ClipRow], list[dict[str, str]]]:
    """Manifest rows to reconstruct, and the clips left out with the reason."""
    chosen, left_out = [], []
    counts: dict[str, int] = {}
    for clip_id in store.clip_ids():
        row = store.row(clip_id)
        same_log = bool(row["heldout_frames"])
        if row["split"] not in config.splits and not same_log:
            continue
        if not row["has_poses"]:
            left_out.append({"clip_id": clip_id, "reason": "no camera poses"})
            continue
        counts[row["split"]] = counts.get(row["split"], 0) + 1
        if same_log or config.max_clips is None or counts[row["split"]] <= config.max_clips:
            chosen.append(row)
        else:
            left_out.append({"clip_id": clip_id, "reason": f"max_clips is {config.max_clips}"})
    return chosen, left_out


def _clip(stage: Stage[ReconstructConfig], store: ClipStore, model: "WorldRec", row: ClipRow) -> dict[str, Any]:
    """Reconstructs a clip unless a killed run already did, and copies its files to the output."""
    kept = stage.resume_dir / str(row["clip_id"])
    if not (kept / "entry.json").is_file():
        shutil.rmtree(kept, ignore_errors=True)
        partial = stage.resume_dir / f".{row['clip_id']}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        entry = _reconstruct(store, model, row, stage.params.context_stride, partial)
        write_json(partial / "entry.json", entry)
        partial.rename(kept)
    for kind in ("renders", "gaussians"):
        (stage.out / kind).mkdir(exist_ok=True)
        shutil.copyfile(kept / f"{kind}.safetensors", stage.out / kind / f"{row['clip_id']}.safetensors")
    entry = json.loads((kept / "entry.json").read_text())
    assert isinstance(entry, dict)
    return entry


def _reconstruct(store: ClipStore, model: "WorldRec", row: ClipRow, stride: int, out: Path) -> dict[str, Any]:
    from safetensors.torch import save

    from worldmodel.worldrec.inference import Context, reconstruct
    from worldmodel.worldrec.views import ClipTensors

    context, targets = context_frames(row["n_frames"], stride), target_frames(row["n_frames"], stride)
    clip = ClipTensors.from_clip(store.load(row["clip_id"]), range(row["n_frames"]))
    reconstruction = reconstruct(model, Context.from_clip(clip, context))
    (out / "renders.safetensors").write_bytes(save(_render(reconstruction, clip, targets)))
    tensors = {name: tensor.contiguous() for name, tensor in reconstruction.tensors().items()}
    (out / "gaussians.safetensors").write_bytes(save(tensors))
    return {
        "clip_id": row["clip_id"],
        "log_id": row["log_id"],
        "source": row["source"],
        "split": row["split"],
        "same_log": bool(row["heldout_frames"]),
        "context_frames": list(context),
        "target_frames": list(targets),
        "n_gaussians": len(reconstruction.scene.gaussians),
    }


def _render(reconstruction: "Reconstruction", clip: "ClipTensors", targets: tuple[int, ...]) -> dict[str, Any]:
    """rgb [F, V, H, W, 3] uint8, depth and alpha [F, V, H, W] of the target frames."""
    import numpy as np
    import torch

    _, cameras, height, width, _ = clip.rgb.shape
    frames = []
    for frame in targets:
        times = clip.times_s[frame].repeat(cameras).numpy()
        poses = clip.world_from_camera[frame].numpy()
        frames.append(reconstruction.render(poses, clip.Ks.double().numpy(), times, (height, width)))
    return {name: torch.from_numpy(np.stack([getattr(f, name) for f in frames])) for name in ("rgb", "depth", "alpha")}


def _not_applicable(stage: Stage[ReconstructConfig], reason: str) -> None:
    write_json(stage.out / "not_applicable.json", {"reason": reason})
    stage.say(reason)


if __name__ == "__main__":
    main("reconstruct", ReconstructConfig, run)
