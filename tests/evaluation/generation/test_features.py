import numpy as np
import pytest

from evaluation.generation.features import (
    FeatureTable,
    GroupFeatures,
    Rows,
    features_path,
    read_features,
    write_features,
)
from worldmodel.errors import DataError

RNG = np.random.default_rng(0)


def table(width=3):
    def rows(n):
        return RNG.normal(size=(n, width)).astype(np.float32)

    made_rows = Rows(("a", "a", "b", "b"), ("log-a", "log-a", "log-b", "log-b"))
    return FeatureTable({"dmd": rows(4), "true_frames": rows(4)}, made_rows, rows(2), Rows(("c", "d"), ("x", "y")))


@pytest.fixture
def group():
    return GroupFeatures("synthetic", "test", {"i3d-k400": table(), "i3d-k400-tok": table(), "inception": table(5)})


def test_features_come_back_bit_for_bit_with_what_their_rows_are_of(group, tmp_path):
    (path,) = write_features(tmp_path, [group])
    assert path == features_path(tmp_path, "synthetic", "test") == tmp_path / "synthetic-test.safetensors"
    found = read_features(path)
    assert set(found) == set(group.tables)
    for name, expected in group.tables.items():
        assert set(found[name].made) == {"dmd", "true_frames"}
        np.testing.assert_array_equal(found[name].of("dmd").values, expected.of("dmd").values)
        np.testing.assert_array_equal(found[name].true.values, expected.true.values)
        assert found[name].made_rows == expected.made_rows and found[name].reference_rows == expected.reference_rows
    assert found["i3d-k400"].of("dmd").logs == ("log-a", "log-a", "log-b", "log-b")


def test_the_same_features_give_the_same_bytes(group, tmp_path):
    turned = GroupFeatures("synthetic", "test", dict(reversed(group.tables.items())))
    (first,), (second,) = write_features(tmp_path / "a", [group]), write_features(tmp_path / "b", [turned])
    assert first.read_bytes() == second.read_bytes()


def test_files_that_do_not_hold_what_they_say_are_named(group, tmp_path):
    short = FeatureTable({"dmd": table().reference}, table().made_rows, table().reference, table().reference_rows)
    (path,) = write_features(tmp_path, [GroupFeatures("a", "test", {"i3d": short})])
    with pytest.raises(DataError, match=r"a-test.safetensors(.|\n)*i3d/dmd has 2 rows of 4"):
        read_features(path)
    path.write_bytes(b"damaged")
    for broken in (path, tmp_path / "none.safetensors"):
        with pytest.raises(DataError, match=broken.name):
            read_features(broken)


def test_a_method_without_features_is_named():
    with pytest.raises(DataError, match=r"features of ode(.|\n)*dmd or true_frames"):
        table().of("ode")
