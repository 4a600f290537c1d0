from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as theirs

from evaluation.extractors.lpips import Lpips, LpipsFeatures
from evaluation.extractors.weights import LPIPS_ALEX
from evaluation.protocols import LpipsNet
from tests.evaluation.extractors.classifiers import plain_alexnet, plain_vgg16
from tests.evaluation.extractors.conftest import lpips_tensors, noisy_pair
from worldmodel.errors import DataError, MissingDependencyError

NETS: tuple[LpipsNet, ...] = ("alex", "vgg")
PLAIN = {"alex": plain_alexnet, "vgg": plain_vgg16}


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> LpipsNet:
    found: LpipsNet = request.param
    return found


def published(net: LpipsNet, spatial: bool, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """torchmetrics' copy of the authors' module, with its own heads and our backbone."""
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda *_: PLAIN[net](lpips_tensors(net)))
    return theirs._LPIPS(pretrained=True, net=net, pnet_rand=True, spatial=spatial)


@pytest.mark.parametrize("size", [(64, 96), (33, 47)])
def test_distances_and_maps_are_those_of_the_authors_module(
    net: LpipsNet, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, noisy = noisy_pair(2, *size)
    inputs = [torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1 for batch in (images, noisy)]
    ours = Lpips(net)
    a, b = ours.features(images), ours.features(noisy)
    with torch.inference_mode():
        distances = published(net, False, monkeypatch)(*inputs).flatten().numpy()
        maps = published(net, True, monkeypatch)(*inputs)[:, 0].numpy()
    assert distances.min() > 5e-3
    assert ours.distances(a, b) == pytest.approx(distances, rel=1e-5)
    assert np.allclose(ours.maps(a, b), maps, atol=1e-5 * maps.max())


def test_the_heads_are_bit_by_bit_those_of_another_package(net: LpipsNet) -> None:
    path = Path(theirs.__file__).parent / "lpips_models" / f"{net}.pth"
    heads = torch.load(path, map_location="cpu", weights_only=True)
    for layer in range(5):
        ours = lpips_tensors(net)[f"NetLinLayer_{layer}.Conv_0.kernel"].flatten()
        assert torch.equal(heads[f"lin{layer}.model.1.weight"].flatten(), ours)


def test_a_distance_is_the_weighted_squared_difference_averaged_over_each_layer() -> None:
    """Orthogonal unit vectors in one of two pixels of the first layer: (w0 + w1) / 2; equal everywhere else."""
    ours = Lpips("alex")
    layers = [torch.zeros(1, channels, 1, 2) for channels in (64, 192, 384, 256, 256)]
    others = [layer.clone() for layer in layers]
    layers[0][0, 0, 0, 0] = others[0][0, 1, 0, 0] = 1.0
    a, b = (LpipsFeatures(tuple(of), 4, 8) for of in (layers, others))
    weights = lpips_tensors("alex")["NetLinLayer_0.Conv_0.kernel"].flatten()[:2].double().sum().item()
    assert ours.distances(a, b)[0] == pytest.approx(weights / 2, rel=1e-6)
    assert ours.parts(a, b)[0, 1:].tolist() == [0.0] * 4
    found = ours.maps(a, b)[0]
    assert found.shape == (4, 8) and found[:, 0] == pytest.approx(weights, rel=1e-6) and not found[:, 7].any()


def test_identical_images_are_at_no_distance_anywhere(net: LpipsNet) -> None:
    images, _ = noisy_pair(2, 32, 40)
    ours = Lpips(net)
    a, b = ours.features(images), ours.features(images.copy())
    assert not ours.distances(a, b).any() and not ours.maps(a, b).any()


def test_an_images_features_are_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(
    net: LpipsNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, noisy = noisy_pair(5, 64, 96)
    ours = Lpips(net)
    found = []
    before = torch.get_num_threads()
    for threads, at_once in ((1, 5), (2, 5), (2, 2), (1, 1)):
        torch.set_num_threads(threads)
        monkeypatch.setattr("evaluation.extractors.lpips._BATCH_PX", at_once * 64 * 96)
        a, b = ours.features(images), ours.features(noisy)
        found.append((*a.layers, torch.from_numpy(ours.parts(a, b)), torch.from_numpy(ours.maps(a, b))))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, same) for one, same in zip(found[0], other, strict=True))


def test_images_that_do_not_pair_are_refused() -> None:
    ours = Lpips("alex")
    one, two = (ours.features(noisy_pair(count, 32, 40)[0]) for count in (1, 2))
    other_size = ours.features(noisy_pair(1, 33, 40)[0])
    with pytest.raises(DataError, match="pairwise") as caught:
        ours.distances(one, two)
    assert (caught.value.expected, caught.value.got) == ("1 images of 32 x 40 px", "2 images of 32 x 40 px")
    with pytest.raises(DataError, match="pairwise"):
        ours.maps(one, other_size)


@pytest.mark.parametrize(("net", "least"), [("alex", 31), ("vgg", 16)])
def test_images_too_small_for_the_network_are_refused(net: LpipsNet, least: int) -> None:
    ours = Lpips(net)
    assert len(ours.features(np.zeros((1, least, least, 3), np.uint8)).layers) == 5
    with pytest.raises(DataError, match=f"lpips-{net}: images too small"):
        ours.features(np.zeros((1, least, least - 1, 3), np.uint8))


def test_without_weights_nothing_stands_in(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="fetch-weights"):
        Lpips("alex", weights=tmp_path).features(noisy_pair(1, 32, 40)[0])


def test_the_identity_is_that_of_the_recorded_weights(tmp_path: Path) -> None:
    identity = Lpips("alex", weights=tmp_path).identity
    assert (identity.id, identity.kind, identity.file_sha256) == ("lpips-alex", "canonical", LPIPS_ALEX.sha256)
