"""Stage `worldgen_ode_distillation`: the causal generator learns to jump to the ends of its own trajectories.

Starts from worldgen_teacher_forcing's weights, reads worldgen_ode_pairs, and writes the same files as they do, or
not_applicable.json.
"""

from flows.generation import open_latents, train_and_save
from flows.stage import Stage, main
from flows.training import prepare_torch
from worldmodel.worldgen.config import OdeDistillationConfig

START, PAIRS = "worldgen_teacher_forcing", "worldgen_ode_pairs"


def run(stage: Stage[OdeDistillationConfig]) -> None:
    store = open_latents(stage, START, PAIRS)
    if store is None:
        return
    prepare_torch(stage, stage.params.train.accelerator)
    from worldmodel.worldgen.distillation import DistillationModule
    from worldmodel.worldgen.generator_files import SamplingConfig
    from worldmodel.worldgen.pairs import PairStore
    from worldmodel.worldgen.training import Setting
    from worldmodel.worldgen.weights import load_denoiser

    pairs = PairStore(stage.input(PAIRS))
    network = load_denoiser(stage.input(START))
    setting = Setting(store, pairs.index.noise, stage.seed)
    module = DistillationModule(network, stage.params.train, setting, pairs)
    train_and_save(stage, module, SamplingConfig.of("few_step", pairs.index.noise, store.index))


if __name__ == "__main__":
    main("worldgen_ode_distillation", OdeDistillationConfig, run)
