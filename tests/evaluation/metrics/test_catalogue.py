from evaluation.metrics.catalogue import METRICS, VIDEO_METRICS


def test_every_id_is_area_and_name_and_stands_for_itself():
    for key, spec in (METRICS | VIDEO_METRICS).items():
        area, _, name = key.partition("/")
        assert key == spec.id and area in {"image", "depth", "video"} and name.islower()


def test_better_is_up_for_similarity_and_down_for_errors():
    assert {key: (spec.unit, spec.direction) for key, spec in METRICS.items()} == {
        "image/psnr": ("dB", "up"),
        "image/ssim": ("1", "up"),
        "depth/rmse": ("m", "down"),
        "depth/abs_rel": ("1", "down"),
        "depth/coverage": ("1", "up"),
    }


def test_every_distance_names_its_network_and_less_is_better():
    distances = {key: spec for key, spec in VIDEO_METRICS.items() if key != "video/psnr"}
    assert {key.partition("@")[2] for key in distances} == {"i3d-k400"}
    assert {spec.direction for spec in distances.values()} == {"down"}
