"""Stage `worldgen_teacher_forcing`: the bidirectional generator becomes causal, chunk by chunk with a clean past.

Starts from worldgen_bidirectional's weights and writes the same files, or not_applicable.json.
"""

from flows.generation import open_latents, train_and_save
from flows.stage import Stage, main
from flows.training import prepare_torch
from worldmodel.worldgen.config import TeacherForcingConfig

START = "worldgen_bidirectional"


def run(stage: Stage[TeacherForcingConfig]) -> None:
    store = open_latents(stage, START)
    if store is None:
        return
    prepare_torch(stage, stage.params.train.accelerator)
    from worldmodel.worldgen.flow import TeacherForcingModule
    from worldmodel.worldgen.generator_files import SamplingConfig, load_sampling
    from worldmodel.worldgen.training import Setting
    from worldmodel.worldgen.weights import load_denoiser

    noise = load_sampling(stage.input(START)).noise
    network = load_denoiser(stage.input(START))
    module = TeacherForcingModule(network, stage.params.train, Setting(store, noise, stage.seed))
    train_and_save(stage, module, SamplingConfig.of("causal", noise, store.index))


if __name__ == "__main__":
    main("worldgen_teacher_forcing", TeacherForcingConfig, run)
