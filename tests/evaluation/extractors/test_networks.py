from pathlib import Path

import pytest

from evaluation.extractors.networks import FeatureNetwork, Networks, PerceptualNetwork, WeightedNetworks
from evaluation.extractors.weights import WEIGHTS


def test_every_network_is_opened_once_and_reads_no_weights_until_it_is_used(tmp_path: Path) -> None:
    networks: Networks = WeightedNetworks(tmp_path / "cache", weights=tmp_path / "none")
    features: list[FeatureNetwork] = [networks.videos("squash224"), networks.images()]
    pairs: list[PerceptualNetwork] = [networks.lpips("alex"), networks.lpips("vgg"), networks.dists()]
    assert features == [networks.videos("squash224"), networks.images()]
    assert pairs == [networks.lpips("alex"), networks.lpips("vgg"), networks.dists()]
    assert not list(tmp_path.iterdir())


def test_their_identities_are_canonical_and_all_different(tmp_path: Path) -> None:
    networks = WeightedNetworks(tmp_path)
    inputs = [networks.videos(p).identity for p in ("squash224", "short224-centercrop", "wcoda-224x400")]
    others = [networks.images(), networks.lpips("alex"), networks.lpips("vgg"), networks.dists()]
    identities = [*inputs, *(network.identity for network in others)]
    assert {identity.kind for identity in identities} == {"canonical"}
    assert len({identity.fingerprint for identity in identities}) == 7
    assert {identity.id for identity in identities} == set(WEIGHTS)


@pytest.mark.parametrize(("which", "least"), [("videos", 9), ("images", 1)])
def test_they_say_the_fewest_frames_they_take(tmp_path: Path, which: str, least: int) -> None:
    networks = WeightedNetworks(tmp_path)
    found = networks.images() if which == "images" else networks.videos("squash224")
    assert found.min_frames == least
