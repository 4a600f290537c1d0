from evaluation.metrics.catalogue import METRICS, VIDEO_METRICS


def test_every_id_is_area_and_name_and_stands_for_itself():
    for key, spec in (METRICS | VIDEO_METRICS).items():
        area, _, name = key.partition("/")
        assert key == spec.id and area in {"image", "depth", "video", "scene"} and name.islower()


def test_better_is_up_for_similarity_and_down_for_errors():
    assert {key: (spec.unit, spec.direction) for key, spec in METRICS.items()} == {
        "image/psnr": ("dB", "up"),
        "image/ssim": ("1", "up"),
        "image/lpips@lpips-alex": ("1", "down"),
        "image/lpips@lpips-vgg": ("1", "down"),
        "image/dists@dists-v0.1": ("1", "down"),
        "depth/rmse": ("m", "down"),
        "depth/abs_rel": ("1", "down"),
        "depth/coverage": ("1", "up"),
        "image/cross-view-psnr": ("dB", "up"),
        "scene/gaussians": ("1", "down"),
    }


def test_every_learned_metric_names_its_network_and_less_is_better():
    learned = [spec for key, spec in (METRICS | VIDEO_METRICS).items() if "@" in key]
    assert {spec.id.partition("@")[2] for spec in learned} == {
        *("i3d-k400", "inception-2015-12-05"),
        *("lpips-alex", "lpips-vgg", "dists-v0.1"),
    }
    assert {(spec.unit, spec.direction) for spec in learned} == {("1", "down")}
