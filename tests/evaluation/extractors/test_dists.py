from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.dists as theirs

from evaluation.extractors.dists import CHANNELS, Dists, DistsFeatures, L2Pool, Layer
from evaluation.extractors.weights import DISTS, load_tensors
from tests.evaluation.extractors.classifiers import plain_vgg16
from tests.evaluation.extractors.conftest import lpips_tensors, noisy_pair
from worldmodel.errors import DataError, MissingDependencyError


@pytest.fixture(scope="module")
def dists() -> Dists:
    return Dists()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.nn.Module]:
    """torchmetrics' copy of the authors' module, with its own alpha and beta and our VGG16."""

    class Model:
        features = plain_vgg16(lpips_tensors("vgg"))

    monkeypatch.setattr(theirs, "_TORCHVISION_AVAILABLE", True)
    monkeypatch.setattr(theirs, "VGG16_Weights", type("Weights", (), {"DEFAULT": None}), raising=False)
    monkeypatch.setattr(theirs, "vgg16", lambda **_: Model, raising=False)
    yield theirs.DISTSNetwork()


@pytest.mark.parametrize("size", [(64, 96), (33, 47)])
def test_distances_are_those_of_the_authors_module(
    dists: Dists, published: torch.nn.Module, size: tuple[int, int]
) -> None:
    images, noisy = noisy_pair(2, *size)
    inputs = [torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255 for batch in (images, noisy)]
    with torch.inference_mode():
        expected = published(*inputs).numpy()
    assert expected.min() > 0.03
    found = dists.distances(dists.features(images), dists.features(noisy))
    assert found == pytest.approx(expected, abs=1e-6)


def test_alpha_and_beta_are_bit_by_bit_those_of_another_package(published: torch.nn.Module) -> None:
    tensors = load_tensors(DISTS)
    assert torch.equal(published.alpha, tensors["alpha"]) and torch.equal(published.beta, tensors["beta"])


def test_l2_pooling_is_the_root_of_a_hann_windows_mean_of_squares() -> None:
    """Of a single 4 the window [1, 2, 1] x [1, 2, 1] / 16 takes 4 / 16, 2 / 16 and 1 / 16 of 16, by where it lies."""
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 2, 1] = 4.0
    expected = torch.tensor([[0.0, 0.0], [2.0**0.5, 2.0**0.5]])
    assert torch.allclose(L2Pool()(x)[0, 0], expected, atol=1e-5)
    assert L2Pool()(torch.zeros(1, 1, 5, 3)).shape == (1, 1, 3, 2)


def test_a_distance_is_alpha_by_means_and_beta_by_covariances(dists: Dists) -> None:
    """Means 1 and 3 in one channel: l = 6 / 10; deviations d and -d in another: s = -1; all else equal."""

    def features(mean: float, sign: float) -> DistsFeatures:
        layers = []
        for channels in CHANNELS:
            deviations = torch.tensor([1.0, -1.0]).repeat(1, channels, 1, 1)
            layers.append(Layer(deviations, np.ones((1, channels)), np.ones((1, channels))))
        layers[0].means[0, 0] = mean
        layers[0].deviations[0, 1] *= sign
        return DistsFeatures(tuple(layers))

    tensors = load_tensors(DISTS)
    alpha, beta = (tensors[name].double().flatten().numpy() for name in ("alpha", "beta"))
    expected = (0.4 * alpha[0] + 2 * beta[1]) / (alpha.sum() + beta.sum())
    found = dists.distances(features(1.0, 1.0), features(3.0, -1.0))
    assert found[0] == pytest.approx(expected, rel=1e-5)


def test_identical_images_are_at_no_distance(dists: Dists) -> None:
    images, _ = noisy_pair(2, 32, 40)
    assert not dists.distances(dists.features(images), dists.features(images.copy())).any()


def test_a_distance_is_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(dists: Dists) -> None:
    images, noisy = noisy_pair(3, 32, 48)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        together = dists.parts(dists.features(images), dists.features(noisy))
        alone = [dists.parts(dists.features(images[n : n + 1]), dists.features(noisy[n : n + 1])) for n in range(3)]
        found += [together, np.concatenate(alone)]
    torch.set_num_threads(before)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_there_is_no_map_of_a_distance_over_whole_images(dists: Dists) -> None:
    one = dists.features(noisy_pair(1, 32, 40)[0])
    with pytest.raises(DataError, match=r"dists-v0\.1 compares whole images"):
        dists.maps(one, one)


def test_images_that_do_not_pair_are_refused(dists: Dists) -> None:
    one, two = (dists.features(noisy_pair(count, 32, 40)[0]) for count in (1, 2))
    with pytest.raises(DataError, match="pairwise"):
        dists.distances(one, two)


def test_without_weights_nothing_stands_in(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="fetch-weights"):
        Dists(weights=tmp_path).features(noisy_pair(1, 32, 40)[0])
