"""The denoiser: one network, the same answer whether masked, cached or teacher-forced, and blind where it should be."""

from dataclasses import replace

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

from tests.worldmodel.worldgen.toy_denoiser import LATENTS, toy_clips, toy_denoiser
from worldmodel.worldgen.condition_layers import ego_features, prior_channels
from worldmodel.worldgen.conditions import ConditionName, Conditions
from worldmodel.worldgen.denoiser import Denoiser, Mode
from worldmodel.worldgen.denoiser_config import DenoiserConfig, LatentSpec

# chunk, window, latent frames: within the window, beyond it, and with a short last chunk
SPANS = [(1, 5, 5), (1, 3, 7), (2, 5, 5), (2, 5, 9), (2, 6, 9), (2, 5, 8)]


def chunks_of(frames: int, chunk: int) -> list[tuple[int, int]]:
    return [(0, 1), *((start, min(start + chunk, frames)) for start in range(1, frames, chunk))]


def stepped(
    model: Denoiser, x: torch.Tensor, sigma: torch.Tensor, clean: torch.Tensor, given: Conditions
) -> torch.Tensor:
    """Each chunk of x against a cache of the clean chunks before it."""
    cache = model.new_cache(len(x))
    said = []
    for start, stop in chunks_of(x.shape[1], model.config.chunk):
        part = given.frames(start, stop)
        said.append(model.step(x[:, start:stop], sigma[:, start], part, cache))
        model.step(clean[:, start:stop], torch.zeros(len(x)), part, cache, write=True)
    return torch.cat(said, dim=1)


def sigma_of_chunks(frames: int, chunk: int) -> torch.Tensor:
    """[2, F]: a level per chunk, 0 in the first."""
    levels = torch.zeros(2, frames)
    for index, (start, stop) in enumerate(chunks_of(frames, chunk)):
        levels[:, start:stop] = torch.tensor([0.13, 0.29])[:, None] * index % 1.0
    return levels


@torch.no_grad()
@pytest.mark.parametrize(("chunk", "window", "frames"), SPANS)
def test_teacher_forcing_is_denoising_each_chunk_against_a_cache_of_clean_ones(
    chunk: int, window: int, frames: int
) -> None:
    model = toy_denoiser(chunk, window)
    clean, given = toy_clips(frames)
    noisy, sigma = torch.randn_like(clean), sigma_of_chunks(frames, chunk)
    noisy[:, 0] = clean[:, 0]
    forced = model(noisy, sigma, given, "teacher_forcing", clean=clean)
    torch.testing.assert_close(forced, stepped(model, noisy, sigma, clean, given), rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("chunk", "window", "frames"), SPANS)
def test_the_causal_mask_says_what_the_cache_says(chunk: int, window: int, frames: int) -> None:
    model = toy_denoiser(chunk, window)
    clean, given = toy_clips(frames)
    start, stop = chunks_of(frames, chunk)[-1]
    mixed, sigma = clean.clone(), torch.zeros(2, frames)
    mixed[:, start:stop] = torch.randn_like(mixed[:, start:stop])
    sigma[:, start:stop] = 0.7
    masked = model(mixed, sigma, given, "causal")
    cached = stepped(model, mixed, sigma, clean, given)
    torch.testing.assert_close(masked, cached, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_window_matters_once_it_is_full() -> None:
    x, given = toy_clips(6)
    sigma = torch.full((2, 6), 0.5)
    wide, narrow = (toy_denoiser(window=window)(x, sigma, given, "causal") for window in (6, 3))
    torch.testing.assert_close(wide[:, :3], narrow[:, :3])
    assert (wide[:, 3:] - narrow[:, 3:]).abs().amax((0, 2, 3, 4)).min() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("mode", ["causal", "teacher_forcing"])
@pytest.mark.parametrize(("chunk", "window"), [(1, 6), (2, 6), (1, 3)])
def test_nothing_earlier_sees_a_later_chunk(mode: Mode, chunk: int, window: int) -> None:
    model = toy_denoiser(chunk, window)
    x, given = toy_clips(6)
    other, other_given = toy_clips(6, seed=1)
    changed = torch.cat([x[:, :3], other[:, 3:]], dim=1)
    changed_given = replace(
        given,
        layout=torch.cat([given.layout[:, :3], other_given.layout[:, 3:]], dim=1),
        ego=torch.cat([given.ego[:, :3], other_given.ego[:, 3:]], dim=1),
    )
    sigma = torch.full((2, 6), 0.5)
    clean = (x, changed) if mode == "teacher_forcing" else (None, None)
    before = model(x, sigma, given, mode, clean=clean[0])
    after = model(changed, sigma, changed_given, mode, clean=clean[1])
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().amax((0, 2, 3, 4)).min() > 1e-2


@torch.no_grad()
def test_in_full_mode_the_first_latent_frame_sees_the_last() -> None:
    model = toy_denoiser()
    x, given = toy_clips(5)
    changed = x.clone()
    changed[:, 4] += 1
    sigma = torch.full((2, 5), 0.5)
    assert (model(x, sigma, given, "full") - model(changed, sigma, given, "full"))[:, 0].abs().max() > 1e-3


@torch.no_grad()
def test_in_full_mode_it_is_the_published_network() -> None:
    model = toy_denoiser()
    model.ego.outer.weight.zero_()
    model.ego.outer.bias.zero_()
    config = model.config
    published = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=config.heads,
        attention_head_dim=config.width // config.heads,
        in_channels=3 * LATENTS.channels + 2 + config.layout_channels,
        out_channels=LATENTS.channels,
        text_dim=config.text_width,
        freq_dim=config.frequencies,
        ffn_dim=config.ffn,
        num_layers=config.layers,
    )
    published.load_state_dict(model.transformer.state_dict())
    x, given = toy_clips(4)
    channels = torch.cat([x, prior_channels(given, starts=True), model.layout(given)], dim=2).transpose(1, 2)
    expected = published(channels, torch.full((2,), 300.0), model.tags(given)).sample.transpose(1, 2)
    torch.testing.assert_close(model(x, torch.full((2, 4), 0.3), given, "full"), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["layout", "prior", "ego", "tags"])
def test_a_dropped_condition_has_no_say(name: ConditionName) -> None:
    model = toy_denoiser()
    x, given = toy_clips(3)
    _, other = toy_clips(3, seed=1)
    changed = replace(given, **{name: getattr(other, name)})
    sigma = torch.full((2, 3), 0.5)
    with_it = [model(x, sigma, conditions, "causal") for conditions in (given, changed)]
    without = [model(x, sigma, conditions.without(name), "causal") for conditions in (given, changed)]
    assert (with_it[0] - with_it[1]).abs().max() > 1e-3
    assert torch.equal(without[0], without[1])
    assert (with_it[0] - without[0]).abs().max() > 1e-3


def test_the_given_frame_takes_the_place_of_the_prior_in_the_first_latent_frame_alone() -> None:
    _, given = toy_clips(3)
    given = given.select([0])
    channels = prior_channels(given, starts=True)[0]
    torch.testing.assert_close(channels[0, :3], given.first[0])
    assert channels[0, 3:5].min() == 1
    torch.testing.assert_close(channels[1, :3], given.prior[0, 1] * given.prior_alpha[0, 1])
    torch.testing.assert_close(channels[1:, 3], given.prior_alpha[0, 1:])
    assert not channels[1:, 4].any()
    later = prior_channels(given.without("prior"), starts=False)[0]
    assert not later[:, :5].any()
    torch.testing.assert_close(later[:, 5:], given.first.expand(3, -1, -1, -1))


def test_ego_numbers_are_compressed_and_seen_at_six_scales() -> None:
    features = ego_features(torch.tensor([[-(torch.e**2 - 1), 0.0]]))[0]
    assert features.shape == (26,)
    torch.testing.assert_close(features[:2], torch.tensor([-2.0, 0.0]))
    torch.testing.assert_close(features[2:4], torch.sin(torch.tensor([-2.0, -4.0])))
    torch.testing.assert_close(features[20:26], torch.ones(6))


@torch.no_grad()
def test_a_network_that_says_the_clean_latent_is_read_as_velocity() -> None:
    x, given = toy_clips(3)
    sigma = torch.tensor([[0.0, 0.01, 0.5]]).expand(2, -1)
    said = toy_denoiser()(x, sigma, given, "full")
    velocity = toy_denoiser(prediction="x0")(x, sigma, given, "full")
    torch.testing.assert_close(x[:, 2] - 0.5 * velocity[:, 2], said[:, 2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x[:, 1] - 0.05 * velocity[:, 1], said[:, 1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_weight_gets_a_gradient(checkpointing: bool) -> None:
    model = toy_denoiser(checkpointing=checkpointing)
    x, given = toy_clips(3)
    model(x, torch.full((2, 3), 0.5), given, "teacher_forcing", clean=x)[:, 1:].square().mean().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_s_gradient_is_its_own_and_outlives_the_cache(checkpointing: bool) -> None:
    """As in a rollout: chunk 2 carries gradient; later chunks push what it saw out of the window before backward."""
    gradients = []
    for later in (0, 4):
        model = toy_denoiser(window=3, checkpointing=checkpointing)
        x, given = toy_clips(7)
        x.requires_grad_()
        cache, zero = model.new_cache(2), torch.zeros(2)
        for frame in (0, 1):
            model.step(x[:, frame : frame + 1], zero, given.frames(frame, frame + 1), cache, write=True)
        said = model.step(x[:, 2:3], zero + 0.5, given.frames(2, 3), cache)
        with torch.no_grad():
            for frame in range(2, 2 + later):
                model.step(x[:, frame : frame + 1], zero, given.frames(frame, frame + 1), cache, write=True)
        said.square().sum().backward()
        assert x.grad is not None
        assert x.grad[:, 2].any()
        assert not x.grad[:, [0, 1, 3]].any()
        gradients.append([weight.grad for weight in model.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


def test_a_chunk_is_remembered_once_though_its_pass_is_computed_twice() -> None:
    model = toy_denoiser(checkpointing=True)
    x, given = toy_clips(1)
    cache = model.new_cache(2)
    model.step(x, torch.zeros(2), given, cache, write=True).sum().backward()
    assert [len(chunks) for chunks in cache._layers] == [1, 1]


def test_memory_is_traded_without_changing_the_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = toy_denoiser(checkpointing=checkpointing)
        x, given = toy_clips(3)
        model(x, torch.full((2, 3), 0.5), given, "causal").square().mean().backward()
        gradients.append(model.transformer.patch_embedding.weight.grad)
    assert torch.equal(*gradients)


def test_a_mask_made_in_validation_serves_training() -> None:
    model = toy_denoiser(window=4)
    x, given = toy_clips(4)
    with torch.inference_mode():
        model(x, torch.zeros(2, 4), given, "causal")
    model(x, torch.zeros(2, 4), given, "causal").sum().backward()


def test_clean_latents_are_for_teacher_forcing_alone() -> None:
    model = toy_denoiser()
    x, given = toy_clips(2)
    for mode, clean in (("full", x), ("teacher_forcing", None)):
        with pytest.raises(ValueError, match="clean latents"):
            model(x, torch.zeros(2, 2), given, mode, clean=clean)


def test_a_cache_is_for_one_batch() -> None:
    model = toy_denoiser()
    x, given = toy_clips(1)
    with pytest.raises(ValueError, match="2 clips for a cache of 3"):
        model.step(x, torch.zeros(2), given, model.new_cache(3))


def test_a_clip_without_tags_and_of_any_batch_will_do() -> None:
    model = toy_denoiser()
    x, given = toy_clips(2, batch=1)
    given = replace(given, tags=given.tags[:, :0])
    assert torch.isfinite(model(x, torch.zeros(1, 2), given, "causal")).all()


def test_the_paper_size_has_the_published_weights_and_50_more_input_channels() -> None:
    config = DenoiserConfig(
        width=1536,
        heads=12,
        ffn=8960,
        layers=30,
        frequencies=256,
        text_width=4096,
        chunk=4,
        window=21,
    ).fitted(LatentSpec(channels=16, grid=(60, 104), stride=8, vocabulary=9))
    with torch.device("meta"):
        model = Denoiser(config)
        frames, batch = 2, 1
        x = torch.empty(batch, frames, 16, 60, 104)
        given = Conditions(
            layout=torch.empty(batch, frames, 4, 480, 832, 3, dtype=torch.uint8),
            prior=torch.empty_like(x),
            prior_alpha=torch.empty(batch, frames, 60, 104),
            ego=torch.empty(batch, frames, 6),
            tags=torch.empty(batch, 2, dtype=torch.int64),
            keep=torch.empty(batch, 4, dtype=torch.bool),
            first=torch.empty(batch, 16, 60, 104),
        )
        sigma = torch.empty(batch, frames)
    of_wan = sum(weight.numel() for weight in model.transformer.parameters())
    assert of_wan == 1_418_996_800 + 50 * 1536 * 2 * 2
    of_ours = sum(weight.numel() for part in (model.layout, model.ego, model.tags) for weight in part.parameters())
    assert of_ours == (3 * 4 * 8 * 8 * 16 + 16) + (66 * 1536 + 1536 + 1536 * 1536 + 1536) + 10 * 4096
    assert model(x, sigma, given, "full").shape == x.shape
