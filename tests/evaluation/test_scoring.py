import numpy as np
import pytest

from evaluation.consistency import render_scores, why_no_consistency
from evaluation.metrics.depth import depth_errors
from evaluation.metrics.image import psnr, ssim
from evaluation.perceptual import perceptual_metrics
from evaluation.protocols import ReconstructionPreset
from evaluation.renders import read_index, read_renders
from evaluation.scoring import of_cameras, score_clip
from tests.evaluation.toy_perceptual import ToyNetworks
from worldmodel.data.shards import ClipStore


@pytest.fixture
def scored(measured):
    """Scores of one clip, with the clip and its renders."""

    def score(learned=(), **fields):
        paths = measured({"log": "a"} | fields)
        entry = read_index(paths.reconstruct).clips[0]
        clip = ClipStore(paths.prepare).load(entry.clip_id)
        renders = read_renders(paths.reconstruct, entry, clip)
        return score_clip(clip, renders, entry, learned), clip, renders

    return score


def test_each_target_image_of_each_camera_is_scored_once_against_its_own_truth(scored):
    scores, clip, renders = scored()
    images = scores.of("image/psnr")
    assert [(image.frame, image.camera) for image in images] == [
        (t, c) for t in (1, 2, 3, 4, 6) for c in ("left", "right")
    ]
    assert images[3].value == psnr(renders.rgb[1, 1], clip.rgb[2, 1])
    assert scores.of("image/ssim")[3].value == ssim(renders.rgb[1, 1], clip.rgb[2, 1])
    assert scores.of("image/psnr", method="nearest_context")[3].value == psnr(clip.rgb[0, 1], clip.rgb[2, 1])
    assert scores.of("depth/rmse")[0].value == depth_errors(renders.depth[0, 0], clip.depth[1, 0]).rmse_m == 1.0


def test_regions_are_the_masks_of_the_truth(scored):
    scores, clip, renders = scored()
    first, mask = scores.of("image/psnr", "dynamic")[0], clip.dynamic[1, 0]
    assert first.value == psnr(renders.rgb[0, 0], clip.rgb[1, 0], mask)
    assert scores.of("image/psnr", "static")[0].value == psnr(renders.rgb[0, 0], clip.rgb[1, 0], ~mask)
    assert scores.of("image/psnr", "non-sky")[0].value == psnr(renders.rgb[0, 0], clip.rgb[1, 0], ~clip.sky[1, 0])


def test_the_clip_mean_is_over_its_images(scored):
    scores, _, _ = scored()
    assert scores.mean("image/psnr") == pytest.approx(np.mean([image.value for image in scores.of("image/psnr")]))
    assert scores.mean("image/psnr", "nowhere") is None


def test_a_clip_without_masks_or_dense_depth_says_what_it_lacks(scored):
    scores, clip, _ = scored(masks=False, lidar=True)
    assert scores.not_applicable == {
        "oracle_reprojection": "true depth is lidar, not dense",
        "agreement of the views": why_no_consistency(clip),
        "regions static and dynamic": "no dynamic mask",
        "region non-sky": "no sky mask",
    }
    assert {region for _, region, _ in scores.images} == {"all"}
    assert not scores.of("image/psnr", method="oracle_reprojection")


def test_perfect_renders_reach_the_cap(scored):
    scores, _, _ = scored(noise=0.0)
    assert scores.mean("image/psnr") == 100.0 and scores.mean("image/ssim") == pytest.approx(1.0)


def test_a_nan_in_one_image_stays_in_the_clip_mean(scored):
    def spoil(depth):
        depth[2, 1, 20, 5] = np.nan

    scores, _, _ = scored(depth_edit=spoil)
    assert np.isnan(scores.mean("depth/rmse"))
    assert np.isfinite(scores.mean("image/psnr"))


def test_learned_metrics_are_of_every_so_many_target_frames_and_have_regions(scored):
    """Target frames 1, 2, 3, 4, 6: LPIPS of every second, DISTS of every fourth."""
    preset = ReconstructionPreset(context_stride=5, lpips=("alex",), lpips_stride=2, dists_stride=4)
    scores, clip, renders = scored(perceptual_metrics(preset, ToyNetworks()))
    lpips, dists = scores.of("image/lpips@lpips-alex"), scores.of("image/dists@dists-v0.1")
    assert [(image.frame, image.camera) for image in lpips] == [(t, c) for t in (1, 3, 6) for c in ("left", "right")]
    assert [(image.frame, image.camera) for image in dists] == [(t, c) for t in (1, 6) for c in ("left", "right")]
    difference = np.abs(renders.rgb[2, 1].astype(float) - clip.rgb[3, 1]).mean(-1) / 255
    assert lpips[3].value == pytest.approx(1 + difference.mean())
    sky = scores.of("image/lpips@lpips-alex", "non-sky")
    assert sky[3].value == pytest.approx(difference[~clip.sky[3, 1]].mean())
    nearest = scores.of("image/lpips@lpips-alex", method="nearest_context")
    copied = np.abs(clip.rgb[5, 1].astype(float) - clip.rgb[3, 1]).mean() / 255
    assert nearest[3].value == pytest.approx(1 + copied)
    assert {region for metric, region, _ in scores.images if metric == "image/dists@dists-v0.1"} == {"all"}


def test_the_number_of_gaussians_is_of_the_clip_and_of_no_camera(scored):
    scores, _, _ = scored()
    assert scores.mean("scene/gaussians") == 100.0 and scores.count("scene/gaussians") == 1
    assert scores.by_camera("scene/gaussians") == {}


def test_the_mean_of_a_camera_is_over_its_own_images(scored):
    scores, _, _ = scored()
    left = [image.value for image in scores.of("image/psnr") if image.camera == "left"]
    found = scores.by_camera("image/psnr")
    assert list(found) == ["left", "right"] and found["left"] == pytest.approx(np.mean(left))
    assert np.mean(list(found.values())) == pytest.approx(scores.mean("image/psnr"))


def test_the_views_are_compared_with_each_other_and_the_truth_is_the_floor(scored):
    scores, clip, renders = scored()
    ((metric, found),) = render_scores(clip, 2, renders.rgb[1]).items()
    assert [(i.camera, i.value) for i in scores.of(metric) if i.frame == 2] == found != []
    floor = render_scores(clip, 2, clip.rgb[2])[metric]
    assert [(i.camera, i.value) for i in scores.of(metric, method="true_frames") if i.frame == 2] == floor


def test_only_the_cameras_of_the_protocol_are_kept(scored):
    _, clip, renders = scored()
    narrow, of_one = of_cameras(clip, renders, ("right", "rear"))
    assert narrow.cameras == ("right",) and of_one.rgb.shape == (5, 1, 24, 32, 3)
    for name in ("rgb", "depth", "sky", "dynamic", "world_from_camera"):
        assert np.array_equal(getattr(narrow, name), getattr(clip, name)[:, 1:]), name
    assert np.array_equal(narrow.Ks, clip.Ks[1:]) and np.array_equal(of_one.depth, renders.depth[:, 1:])
    assert of_cameras(clip, renders, None)[0] is clip
