from evaluation.metrics.catalogue import METRICS


def test_every_id_is_area_and_name_and_stands_for_itself():
    for key, spec in METRICS.items():
        area, _, name = key.partition("/")
        assert key == spec.id and area in {"image", "depth"} and name.islower()


def test_better_is_up_for_similarity_and_down_for_errors():
    assert {key: (spec.unit, spec.direction) for key, spec in METRICS.items()} == {
        "image/psnr": ("dB", "up"),
        "image/ssim": ("1", "up"),
        "depth/rmse": ("m", "down"),
        "depth/abs_rel": ("1", "down"),
        "depth/coverage": ("1", "up"),
    }
