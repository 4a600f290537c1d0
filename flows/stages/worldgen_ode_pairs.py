"""Stage `worldgen_ode_pairs`: trajectories of the teacher-forced generator, from noise to video.

Writes index.json and pairs/<number>.safetensors (states [S-1, F, C, h, w] at the few levels after the first, end
[F, C, h, w], keep [4]); or not_applicable.json. A batch is done or not done: a killed run goes on with the next.
"""

import shutil
from typing import TYPE_CHECKING

from flows.generation import open_latents
from flows.stage import Stage, main, write_json
from flows.training import prepare_torch
from worldmodel.worldgen.config import OdePairsConfig

if TYPE_CHECKING:
    from worldmodel.worldgen.config import NoiseConfig
    from worldmodel.worldgen.denoiser import Denoiser
    from worldmodel.worldgen.latents import LatentStore
    from worldmodel.worldgen.samples import SampleRow

TEACHER = "worldgen_teacher_forcing"


def run(stage: Stage[OdePairsConfig]) -> None:
    store = open_latents(stage, TEACHER)
    if store is None:
        return
    prepare_torch(stage, stage.params.accelerator)
    from worldmodel.worldgen.draws import draw_rows
    from worldmodel.worldgen.generator_files import load_sampling
    from worldmodel.worldgen.ode import kept_steps
    from worldmodel.worldgen.pairs import pair_bytes
    from worldmodel.worldgen.weights import load_denoiser

    config, noise = stage.params, load_sampling(stage.input(TEACHER)).noise
    kept_steps(noise, config.steps)
    size = pair_bytes((store.n_latent_frames, *store.latent_shape), config, len(noise.few_steps))
    stage.say(f"{config.pairs} pairs of {config.steps} Euler steps; they will take {size / 2**20:.1f} MiB")
    rows = draw_rows(store.select("train"), config.pairs, config.min_source_share, stage.seed, "ode_pairs")
    teacher = load_denoiser(stage.input(TEACHER)).to(config.accelerator)
    for start in range(0, len(rows), config.batch_size):
        _batch(stage, store, teacher, noise, start, rows[start : start + config.batch_size])
        stage.progress(min(start + config.batch_size, len(rows)), len(rows), "pairs")
        stage.check_stop()
    _finish(stage, noise, rows, size)


def _batch(
    stage: Stage[OdePairsConfig],
    store: "LatentStore",
    teacher: "Denoiser",
    noise: "NoiseConfig",
    start: int,
    rows: "list[SampleRow]",
) -> None:
    """Trajectories of some samples, unless a killed run already has them all."""
    from worldmodel.worldgen.pairs import make_pairs, pair_file, save_pair

    files = [pair_file(stage.resume_dir, start + place) for place in range(len(rows))]
    if all(file.is_file() for file in files):
        return
    made = make_pairs(teacher, store.load(rows), noise, stage.params, stage.seed, start)
    for place, file in enumerate(files):
        found = made.trajectories
        save_pair(file, found.states[place], found.ends[place], made.keep[place], stage.params.dtype)


def _finish(stage: Stage[OdePairsConfig], noise: "NoiseConfig", rows: "list[SampleRow]", size: int) -> None:
    from worldmodel.worldgen.pairs import FOLDER, INDEX_FILE, PairIndex, PairRow, pair_file

    folder = stage.out / FOLDER
    folder.mkdir()
    for number in range(len(rows)):
        shutil.copyfile(pair_file(stage.resume_dir, number), pair_file(folder, number))
    index = PairIndex(
        noise=noise,
        steps=stage.params.steps,
        guidance=stage.params.guidance,
        seed=stage.seed,
        bytes=size,
        pairs=tuple(PairRow(pair=number, sample_id=row.sample_id) for number, row in enumerate(rows)),
    )
    write_json(stage.out / INDEX_FILE, index.json_value())


if __name__ == "__main__":
    main("worldgen_ode_pairs", OdePairsConfig, run)
