from collections.abc import Callable, Mapping

import numpy as np
import pytest
from torch import Tensor

from evaluation.extractors.probe import (
    I3D_PROBE,
    Probe,
    check_probe,
    probe_dists,
    probe_i3d,
    probe_images,
    probe_inception,
    probe_lpips_alex,
    probe_lpips_vgg,
)
from evaluation.extractors.weights import DISTS, INCEPTION, load_tensors
from tests.evaluation.extractors.conftest import lpips_tensors
from worldmodel.errors import DataError

Tensors = dict[str, Tensor]


def test_the_probe_clip_gives_the_logits_of_the_tf_hub_network(tensors: Tensors) -> None:
    found = probe_i3d(tensors)
    assert found.first == pytest.approx((-0.81739, 6.33596, 8.19145, 10.26848, -2.14277), rel=1e-4)
    assert (found.norm, found.argmax) == (pytest.approx(120.92739, rel=1e-4), 157)


def test_the_probe_images_are_what_the_formula_says() -> None:
    """At x = y = 0, t = 0 it is 0; at t = 1, channel 1, sin 0.3."""
    images = probe_images()
    assert images.shape == (2, 64, 96, 3)
    assert images[0, 0, 0].tolist() == [128, 128, 128]  # 127.5 rounds to the even one
    assert images[1, 0, 0, 1] == round(127.5 * (1 + np.sin(0.3)))


CASES: list[tuple[Callable[[Mapping[str, Tensor]], Probe], Callable[[], Tensors], str]] = [
    (probe_inception, lambda: load_tensors(INCEPTION), "net.layers.mixed_10.tower_2_conv.var"),
    (probe_lpips_alex, lambda: lpips_tensors("alex"), "NetLinLayer_4.Conv_0.kernel"),
    (probe_lpips_vgg, lambda: lpips_tensors("vgg"), "VGG16_0.Conv_12.kernel"),
    (probe_dists, lambda: {**lpips_tensors("vgg"), **load_tensors(DISTS)}, "alpha"),
]


@pytest.mark.parametrize(("probe", "load", "name"), CASES, ids=["inception", "alex", "vgg", "dists"])
def test_the_recorded_weights_pass_their_probe_and_one_tensor_that_is_off_fails_it(
    probe: Callable[[Mapping[str, Tensor]], Probe], load: Callable[[], Tensors], name: str
) -> None:
    good = load()
    assert probe(good).norm > 0
    wrong = good[name].clone()
    wrong.flatten()[: wrong.numel() // 2] *= 1.1
    with pytest.raises(DataError, match="does not say of its probe"):
        probe({**good, name: wrong})


def test_one_layer_of_i3d_that_is_off_fails_the_probe(tensors: Tensors) -> None:
    name = "batch_stats.Mixed_5c.Branch_3/Conv3d_0b_1x1.BatchNorm_0.var"
    with pytest.raises(DataError, match="does not say of its probe"):
        probe_i3d({**tensors, name: tensors[name] * 1.1})


def test_a_probe_fails_by_its_norm_or_its_place_too() -> None:
    first, norm, argmax = I3D_PROBE.first, I3D_PROBE.norm, I3D_PROBE.argmax
    check_probe(Probe(first, norm * 1.00005, argmax), I3D_PROBE)
    for wrong in (Probe(first, norm * 1.0002, argmax), Probe(first, norm, 158)):
        with pytest.raises(DataError, match="probe"):
            check_probe(wrong, I3D_PROBE)
