"""Stage `worldgen_bidirectional`: latents to a video generator that denoises all frames together.

Needs the `validate` verdict. Writes model.safetensors (averaged weights), config.json (network, noise levels, tags) and
history.json; or not_applicable.json where there are no training samples.
"""

from flows.generation import open_latents, train_and_save
from flows.stage import Stage, main
from flows.training import prepare_torch
from worldmodel.worldgen.config import BidirectionalConfig


def run(stage: Stage[BidirectionalConfig]) -> None:
    store = open_latents(stage)
    if store is None:
        return
    prepare_torch(stage, stage.params.train.accelerator)
    from worldmodel.worldgen.denoiser_config import LatentSpec
    from worldmodel.worldgen.flow import BidirectionalModule
    from worldmodel.worldgen.generator_files import SamplingConfig
    from worldmodel.worldgen.training import Setting
    from worldmodel.worldgen.weights import new_denoiser

    channels, height, width = store.latent_shape
    stride = store.image_size[0] // height
    latents = LatentSpec(channels=channels, grid=(height, width), stride=stride, vocabulary=len(store.vocabulary))
    network = new_denoiser(stage.params.model, latents)
    noise = stage.params.noise
    module = BidirectionalModule(network, stage.params.train, Setting(store, noise, stage.seed))
    train_and_save(stage, module, SamplingConfig.of("full", noise, store.index))


if __name__ == "__main__":
    main("worldgen_bidirectional", BidirectionalConfig, run)
