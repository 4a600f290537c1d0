from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.extractors.features import ImageFeatures
from evaluation.extractors.inception import Inception
from evaluation.extractors.preprocess import for_inception
from evaluation.extractors.weights import INCEPTION, load_tensors
from tests.evaluation.extractors.conftest import noisy_pair
from tests.oracles import fidelity_inception, torch_fidelity


@pytest.fixture(scope="module")
def inception_tensors() -> dict[str, Tensor]:
    return load_tensors(INCEPTION)


def test_features_are_those_of_torch_fidelity(inception_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    images, _ = noisy_pair(2, 64, 96)
    with torch.inference_mode():
        expected = fidelity_inception(inception_tensors)(torch.from_numpy(images).permute(0, 3, 1, 2))[0].numpy()
    found = ImageFeatures(tmp_path).features(images)
    assert found.shape == (2, 2048) and found.dtype == np.float64
    assert np.linalg.norm(expected, axis=1).min() > 10
    assert np.allclose(found, expected, atol=3e-5)


@pytest.mark.parametrize("size", [(64, 96), (450, 333), (299, 299), (1, 1)])
def test_images_are_resized_to_the_bit_as_tensorflow_1_does(size: tuple[int, int]) -> None:
    images, _ = noisy_pair(1, *size)
    theirs = torch_fidelity("interpolate_compat_tensorflow").interpolate_bilinear_2d_like_tensorflow1x
    frames = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    assert torch.equal(for_inception(images), (theirs(frames, size=(299, 299), align_corners=False) - 128) / 128)


def test_an_images_features_are_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(
    inception_tensors: dict[str, Tensor],
) -> None:
    network, images = Inception(inception_tensors), for_inception(noisy_pair(3, 64, 96)[0])
    before = torch.get_num_threads()
    with torch.inference_mode():
        torch.set_num_threads(1)
        alone = network(images[1:2])
        torch.set_num_threads(2)
        together, two = network(images), network(images[:2])
        torch.set_num_threads(before)
    assert torch.equal(alone[0], together[1]) and torch.equal(alone[0], two[1])
