import pytest

from evaluation.generation.recipes import distance_of, recipes, table_of
from evaluation.metrics.distances import frechet, kernel_distance
from tests.evaluation.toy_perceptual import toy_identity
from worldmodel.errors import DataError

I3D, INCEPTION = toy_identity("i3d-k400"), toy_identity("inception-2015-12-05")


def test_each_network_gives_its_distances_of_its_table():
    found = {recipe.spec.id: (recipe.table, recipe.distance) for recipe in recipes(I3D, INCEPTION)}
    assert found == {
        "video/fvd-tok@i3d-k400": ("i3d-k400-tok", frechet),
        "video/kvd-tok@i3d-k400": ("i3d-k400-tok", kernel_distance),
        "video/fvd@i3d-k400": ("i3d-k400", frechet),
        "video/kvd@i3d-k400": ("i3d-k400", kernel_distance),
        "image/fid@inception-2015-12-05": ("inception-2015-12-05", frechet),
        "image/kid@inception-2015-12-05": ("inception-2015-12-05", kernel_distance),
    }
    assert [recipe.spec.id[:5] for recipe in recipes(I3D, None)] == ["video"] * 4 and recipes(None, None) == []


@pytest.mark.parametrize("identity", [toy_identity("i3d-k400", "synthetic"), toy_identity("i3d-rgb-imagenet")])
def test_a_network_that_the_metric_is_not_defined_on_is_refused(identity):
    with pytest.raises(DataError, match="the canonical network i3d-k400"):
        recipes(identity, None)


def test_an_id_tells_its_function_and_its_table():
    assert distance_of("image/kid@inception-2015-12-05") is kernel_distance
    assert table_of("video/fvd-tok@i3d-k400") == "i3d-k400-tok"
    with pytest.raises(DataError, match="video/psnr is no distance"):
        distance_of("video/psnr")
