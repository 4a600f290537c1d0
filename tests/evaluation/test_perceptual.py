import numpy as np
import pytest

from evaluation.perceptual import Perceptual, eight_bit, perceptual_metrics
from evaluation.protocols import ReconstructionPreset
from tests.evaluation.toy_perceptual import ToyNetworks
from worldmodel.errors import DataError

ALL = ReconstructionPreset(context_stride=5, lpips=("alex", "vgg"), lpips_stride=4, dists_stride=8)
TRUTH = np.zeros((2, 4, 4, 3), np.uint8)
RIGHT_HALF = np.arange(4)[None, :].repeat(4, 0) >= 2


@pytest.fixture
def lpips() -> Perceptual:
    return perceptual_metrics(ReconstructionPreset(context_stride=5, lpips=("alex",)), ToyNetworks())[0]


def test_a_preset_decides_which_networks_are_opened_and_how_often_they_look():
    networks = ToyNetworks()
    found = perceptual_metrics(ALL, networks)
    assert [(metric.spec.id, metric.stride, metric.regional) for metric in found] == [
        ("image/lpips@lpips-alex", 4, True),
        ("image/lpips@lpips-vgg", 4, True),
        ("image/dists@dists-v0.1", 8, False),
    ]
    assert set(networks.opened) == {"lpips-alex", "lpips-vgg", "dists-v0.1"}


def test_a_preset_without_learned_metrics_opens_nothing():
    assert perceptual_metrics(ReconstructionPreset(context_stride=5), None) == ()


def test_a_protocol_that_needs_networks_is_refused_without_them():
    with pytest.raises(DataError, match="no networks were given"):
        perceptual_metrics(ALL, None)


@pytest.mark.parametrize("kind", ["surrogate", "synthetic"])
def test_another_network_does_not_measure_under_the_canonical_name(kind):
    with pytest.raises(DataError, match="image/lpips@lpips-alex was measured with"):
        perceptual_metrics(ALL, ToyNetworks(kind))


def test_a_whole_image_gets_the_distance_and_a_region_the_mean_of_the_map_in_it(lpips):
    """Brightness 51 of 255 in the right half of the second image: 0.2 there, 0.1 over all of it."""
    made = TRUTH.copy()
    made[1, :, 2:] = 51
    regions = {"all": None, "right": RIGHT_HALF, "left": ~RIGHT_HALF, "nowhere": np.zeros((4, 4), bool)}
    first, second = lpips.scores({"model": made}, TRUTH, [regions, regions])["model"]
    name = "image/lpips@lpips-alex"
    assert first == {(name, "all"): 1.0, (name, "right"): 0.0, (name, "left"): 0.0}
    assert second == pytest.approx({(name, "all"): 1.1, (name, "right"): 0.2, (name, "left"): 0.0})


def test_dists_is_of_whole_images_alone():
    (metric,) = perceptual_metrics(ReconstructionPreset(context_stride=5, dists_stride=1), ToyNetworks())
    regions = {"all": None, "right": RIGHT_HALF}
    found = metric.scores({"model": TRUTH}, TRUTH, [regions, regions])["model"]
    assert [set(of_image) for of_image in found] == [{("image/dists@dists-v0.1", "all")}] * 2


def test_the_features_of_the_truth_are_taken_once_for_all_methods(lpips):
    lpips.scores({"model": TRUTH, "nearest": TRUTH, "oracle": TRUTH}, TRUTH, [{"all": None}] * 2)
    assert lpips.network.images_seen == 4 * len(TRUTH)


def test_fractions_are_rounded_to_the_nearest_step_and_bytes_are_left_alone():
    assert eight_bit(np.array([0.0, 0.1, 0.5, 1.0, 1.7])).tolist() == [0, 26, 128, 255, 255]
    image = np.array([3, 200], np.uint8)
    assert eight_bit(image) is image
