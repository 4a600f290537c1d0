"""Stage `render_priors`: reconstructs clips from their first frame and renders all frames, as conditions for WorldGen.

Writes index.json and priors/<clip_id>.safetensors; or not_applicable.json. True frames after the first are read for
the PSNR in the index alone. WorldRec saw the training logs, so its priors are better there: `psnr_by_split`, by source,
says by how much, which is what leaks from it into WorldGen's training. Cross-fitting would end that; it is left out.
"""

import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from flows.manifest import file_sha256
from flows.stage import Stage, main, write_json
from worldmodel.data.atomic import atomic_directory
from worldmodel.data.manifest import ClipRow
from worldmodel.data.shards import ClipStore
from worldmodel.joint.config import RenderPriorsConfig

if TYPE_CHECKING:
    from worldmodel.worldrec.model import WorldRec

PRIOR_FILE, ENTRY_FILE = "prior.safetensors", "entry.json"


def run(stage: Stage[RenderPriorsConfig]) -> None:
    trained = stage.input("train_worldrec")
    store = ClipStore(stage.input("prepare"))
    rows, left_out = _chosen(store, stage.params)
    if (trained / "not_applicable.json").is_file():
        _not_applicable(stage, "train_worldrec was not applicable, so there is no model")
        return
    if not rows:
        _not_applicable(stage, f"none of {len(left_out)} clips has frames and cameras with poses to render")
        return
    import torch

    from worldmodel.worldrec.weights import WEIGHTS_FILE, load_worldrec

    torch.set_num_threads(1)  # the operations are small: two threads are no faster, and far slower on a busy machine
    torch.use_deterministic_algorithms(True)
    model = load_worldrec(trained).to(stage.params.accelerator)
    (stage.out / "priors").mkdir(exist_ok=True)
    entries = []
    for done, row in enumerate(rows):
        entries.append(_clip(stage, store, model, row))
        stage.progress(done + 1, len(rows), "clips")
        stage.check_stop()
    index = {
        "schema_version": 1,
        "model_sha256": file_sha256(trained / WEIGHTS_FILE),
        "clips": entries,
        "left_out": left_out,
        "psnr_by_split": _psnr_by_split(entries),
    }
    write_json(stage.out / "index.json", index)
    stage.say(f"priors of {len(entries)} clips, {len(left_out)} left out")


def _chosen(store: ClipStore, config: RenderPriorsConfig) -> tuple[list[ClipRow], list[dict[str, str]]]:
    """Manifest rows to render, and the clips left out with the reason."""
    chosen, left_out = [], []
    for clip_id in store.clip_ids():
        row = store.row(clip_id)
        if row["split"] not in config.splits:
            continue
        reason = _unfit(row, config)
        if reason is None:
            chosen.append(row)
        else:
            left_out.append({"clip_id": clip_id, "reason": reason})
    return chosen, left_out


def _unfit(row: ClipRow, config: RenderPriorsConfig) -> str | None:
    if not row["has_poses"]:
        return "no camera poses"
    if _n_frames(row, config) < 2:
        return "no frame after the first"
    if not _cameras(row, config):
        return f"none of the cameras {', '.join(config.cameras[row['source']])}"
    return None


def _n_frames(row: ClipRow, config: RenderPriorsConfig) -> int:
    return row["n_frames"] if config.max_frames is None else min(row["n_frames"], config.max_frames)


def _cameras(row: ClipRow, config: RenderPriorsConfig) -> list[str]:
    """The cameras to render, in the clip's order."""
    wanted = config.cameras.get(row["source"], row["cameras"])
    return [camera for camera in row["cameras"] if camera in wanted]


def _clip(stage: Stage[RenderPriorsConfig], store: ClipStore, model: "WorldRec", row: ClipRow) -> dict[str, Any]:
    """Renders a clip unless a killed run already did, and copies its file to the output."""
    kept = stage.resume_dir / row["clip_id"]
    if not kept.is_dir():
        with atomic_directory(kept) as aside:
            write_json(aside / ENTRY_FILE, _render(store, model, row, stage.params, aside))
    shutil.copyfile(kept / PRIOR_FILE, stage.out / "priors" / f"{row['clip_id']}.safetensors")
    entry = json.loads((kept / ENTRY_FILE).read_text())
    assert isinstance(entry, dict)
    return entry


def _render(store: ClipStore, model: "WorldRec", row: ClipRow, config: RenderPriorsConfig, out: Path) -> dict[str, Any]:
    from safetensors.numpy import save

    from worldmodel.joint.priors import HISTORY, render_prior
    from worldmodel.worldrec.views import ClipTensors

    frames, names = range(_n_frames(row, config)), _cameras(row, config)
    clip = ClipTensors.from_clip(store.load(row["clip_id"], frames), frames)
    cameras = [row["cameras"].index(name) for name in names]
    prior = render_prior(model, clip, cameras, config.fade)
    (out / PRIOR_FILE).write_bytes(save({"rgb": prior.rgb, "alpha": prior.alpha}))
    return {
        "clip_id": row["clip_id"],
        "log_id": row["log_id"],
        "source": row["source"],
        "split": row["split"],
        "cameras": names,
        "history": list(HISTORY),
        "coverage": prior.coverage(),
        "psnr": prior.psnr(clip.rgb.numpy()[:, cameras]),
    }


def _psnr_by_split(entries: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean PSNR in dB over a source's clips of a split: sources differ more than splits do."""
    values: dict[str, dict[str, list[float]]] = {}
    for entry in entries:
        if entry["psnr"] is not None:
            values.setdefault(entry["source"], {}).setdefault(entry["split"], []).append(entry["psnr"])
    return {source: {split: fmean(each) for split, each in splits.items()} for source, splits in values.items()}


def _not_applicable(stage: Stage[RenderPriorsConfig], reason: str) -> None:
    write_json(stage.out / "not_applicable.json", {"reason": reason})
    stage.say(reason)


if __name__ == "__main__":
    main("render_priors", RenderPriorsConfig, run)
