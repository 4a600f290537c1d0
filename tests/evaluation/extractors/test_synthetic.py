import numpy as np
import pytest

from evaluation.extractors.identity import check_metric_name
from evaluation.extractors.synthetic import SyntheticConv, SyntheticNetworks
from tests.evaluation.extractors.conftest import noisy_pair
from worldmodel.errors import DataError


def test_its_numbers_may_stand_under_no_metrics_name() -> None:
    networks = SyntheticNetworks()
    for network in (networks.videos("squash224"), networks.images(), networks.lpips("alex"), networks.dists()):
        assert network.identity.kind == "synthetic"
        for metric_id in ("video/fvd@i3d-k400", f"video/fvd@{network.identity.id}"):
            with pytest.raises(DataError, match="a synthetic network"):
                check_metric_name(metric_id, network.identity)


def test_a_video_has_a_row_and_images_have_one_each() -> None:
    frames, _ = noisy_pair(5, 24, 32)
    networks = SyntheticNetworks()
    assert networks.videos("squash224").cached("a", lambda: frames).shape == (16,)
    rows = networks.images().cached("a", lambda: frames)
    alone = networks.images().cached("b", lambda: frames[3:4])
    assert rows.shape == (5, 16) and np.allclose(rows[3], alone[0])


def test_features_follow_the_seed_and_are_computed_once() -> None:
    frames, noisy = noisy_pair(5, 24, 32)

    def never() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        raise AssertionError("loaded again")

    one, same, other = SyntheticConv(1), SyntheticConv(1), SyntheticConv(2)
    first = one.cached("a", lambda: frames)
    assert np.array_equal(first, same.cached("a", lambda: frames)) and np.array_equal(first, one.cached("a", never))
    assert not np.allclose(first, other.cached("a", lambda: frames))
    assert not np.allclose(first, one.cached("b", lambda: noisy))


def test_a_video_that_is_too_short_is_refused() -> None:
    with pytest.raises(DataError, match="log7: too short for synthetic-conv"):
        SyntheticConv().cached("a", lambda: noisy_pair(2, 24, 32)[0], "log7")


def test_a_distance_is_where_images_differ() -> None:
    images, _ = noisy_pair(2, 21, 32)
    changed = images.copy()
    changed[1, :8, :8] = 255 - changed[1, :8, :8]
    pairs = SyntheticNetworks().lpips("alex")
    a, b = pairs.features(images), pairs.features(changed)
    distances, maps = pairs.distances(a, b), pairs.maps(a, b)
    assert distances[0] == 0 < distances[1] and maps.shape == (2, 21, 32)
    assert maps[1, 2, 2] > 0 and not maps[1, 12:].any() and not maps[1, :, 16:].any()
