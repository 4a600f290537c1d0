"""Stage `worldgen_dmd`: the few-step generator trains on its own rollouts, by distribution matching.

Starts from worldgen_ode_distillation's weights, with worldgen_bidirectional's as the real and the first fake score, and
writes the same files as they do, or not_applicable.json.
"""

from flows.generation import open_latents, train_and_save
from flows.stage import Stage, main
from flows.training import prepare_torch
from worldmodel.worldgen.config import DmdConfig

START, SCORE = "worldgen_ode_distillation", "worldgen_bidirectional"


def run(stage: Stage[DmdConfig]) -> None:
    store = open_latents(stage, START, SCORE)
    if store is None:
        return
    prepare_torch(stage, stage.params.train.accelerator)
    from worldmodel.worldgen.dmd import DmdModule
    from worldmodel.worldgen.generator_files import SamplingConfig, load_sampling
    from worldmodel.worldgen.training import Setting
    from worldmodel.worldgen.weights import load_denoiser

    noise = load_sampling(stage.input(START)).noise
    generator, real = load_denoiser(stage.input(START)), load_denoiser(stage.input(SCORE))
    module = DmdModule(generator, real, stage.params.train, Setting(store, noise, stage.seed))
    train_and_save(stage, module, SamplingConfig.of("few_step", noise, store.index))


if __name__ == "__main__":
    main("worldgen_dmd", DmdConfig, run)
