"""Measures how fast a trained world model is and how much memory it takes: `python -m flows.speed` in a workspace.

Prints one `Performance` record as JSON. It is no stage: no two runs give the same numbers, so they belong beside the
report and never into it. Each number is the median over repeats after one that does not count.
"""

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.base import canonical_json
from evaluation.evidence import Performance
from flows.bundle import bundle_digest, bundle_folders
from flows.params import PARAMS_FILE, read_params
from flows.stage import thread_variables

if TYPE_CHECKING:
    from worldmodel.data.shards import ClipStore

REPEATS = 3
_MIB_OF_RUSAGE = 1024


def measure(root: Path) -> Performance:
    """Speed and memory of the model in a workspace, on the first held-out clip that each part can take.

    The speed of a part that has no such clip, or is not there, is null.

    Raises:
        DataError: the data or the weights cannot be read.
    """
    import torch

    from worldmodel.data.shards import ClipStore

    params = read_params(root / PARAMS_FILE)
    torch.set_num_threads(int(params["threads"]))
    artifacts = root / "artifacts"
    folders, store = bundle_folders(artifacts), ClipStore(artifacts / "prepare")
    seconds_per_clip = gaussians = seconds_per_frame = None
    if "worldrec" in folders:
        seconds_per_clip, gaussians = _reconstruction(folders["worldrec"], store, params)
    if "worldgen" in folders:
        accelerator = str(params["rollout"].get("accelerator", "cpu"))
        seconds_per_frame = _generation(folders, store, artifacts / "train_tokenizer", accelerator)
    return Performance(
        model_sha256=bundle_digest(artifacts),
        machine=machine(int(params["threads"])),
        protocol=str(params["evaluate"].get("protocol", "tiny")),
        seconds_per_frame=seconds_per_frame,
        seconds_per_clip=seconds_per_clip,
        gaussians_per_clip=gaussians,
        peak_memory_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB_OF_RUSAGE, 1),
        repeats=REPEATS,
    )


def machine(threads: int) -> str:
    """Processor, cores, threads and accelerator: what a speed is of."""
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no accelerator"
    return f"{processor()}, {threads} threads, {accelerator}"


def processor() -> str:
    """Its name, and how many cores there are."""
    name = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else ():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {os.cpu_count()} cores"


def _reconstruction(
    folder: Path, store: "ClipStore", params: dict[str, dict[str, object]]
) -> tuple[float, float] | tuple[None, None]:
    """Median seconds from a clip's context images to its Gaussians, and how many those are."""
    from worldmodel.data.protocol import context_frames
    from worldmodel.worldrec.inference import Context, load_worldrec, reconstruct
    from worldmodel.worldrec.views import ClipTensors

    config = params["reconstruct"]
    clip_id = next((c for c in _held_out(store) if store.row(c)["has_poses"]), None)
    if clip_id is None:
        return None, None
    model, row = load_worldrec(folder).to(str(config.get("accelerator", "cpu"))), store.row(clip_id)
    clip = ClipTensors.from_clip(store.load(clip_id), range(row["n_frames"]))
    context = Context.from_clip(clip, context_frames(row["n_frames"], int(str(config["context_stride"]))))
    found: list[int] = []
    seconds = _median(lambda: found.append(len(reconstruct(model, context).scene.gaussians)))
    return seconds, float(found[0])


def _generation(folders: dict[str, Path], store: "ClipStore", latents: Path, accelerator: str) -> float | None:
    """Median seconds a frame after the given one, from first frame and layout to pixels."""
    from worldmodel.data.layout import layout_of
    from worldmodel.worldgen.inference import load_generator
    from worldmodel.worldgen.latents import LatentStore

    sample = next((row for row in LatentStore(latents).rows if row.split != "train"), None)
    if sample is None:
        return None
    generator = load_generator(folders["tokenizer"], folders["worldgen"]).to(accelerator)
    clip = store.load(sample.clip_id, sample.frame_indices)
    camera = clip.cameras.index(sample.camera)
    layout = layout_of(clip, camera, range(len(sample.frame_indices)))
    assert layout is not None  # samples without one are left out
    first = clip.rgb[0, camera]
    return _median(lambda: generator.generate(first, layout)) / (len(layout) - 1)


def _held_out(store: "ClipStore") -> list[str]:
    same_log = (c for c in store.clip_ids("train") if store.row(c)["heldout_frames"])
    return [*store.clip_ids("test"), *store.clip_ids("val"), *same_log]


def _median(run: Callable[[], object]) -> float:
    run()
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return round(statistics.median(taken), 6)


def main() -> None:
    """Measures in the working directory and prints the record."""
    threads = int(read_params(Path.cwd() / PARAMS_FILE)["threads"])
    os.environ.update(thread_variables(threads))
    sys.stdout.write(canonical_json(measure(Path.cwd())) + "\n")


if __name__ == "__main__":
    main()
