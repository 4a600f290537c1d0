import numpy as np
import pytest

from evaluation.metrics.depth import depth_errors
from evaluation.metrics.image import psnr, ssim
from evaluation.renders import read_index, read_renders
from evaluation.scoring import score_clip
from worldmodel.data.shards import ClipStore


@pytest.fixture
def scored(measured):
    """Scores of one clip, with the clip and its renders."""

    def score(**fields):
        paths = measured({"log": "a"} | fields)
        entry = read_index(paths.reconstruct).clips[0]
        clip = ClipStore(paths.prepare).load(entry.clip_id)
        renders = read_renders(paths.reconstruct, entry, clip)
        return score_clip(clip, entry, renders), clip, renders

    return score


def test_each_target_image_of_each_camera_is_scored_once_against_its_own_truth(scored):
    scores, clip, renders = scored()
    images = scores.of("image/psnr")
    assert [(image.frame, image.camera) for image in images] == [
        (t, c) for t in (1, 2, 4, 5) for c in ("left", "right")
    ]
    assert images[3].value == psnr(renders.rgb[1, 1], clip.rgb[2, 1])
    assert scores.of("image/ssim")[3].value == ssim(renders.rgb[1, 1], clip.rgb[2, 1])
    assert scores.of("image/psnr", method="nearest_context")[3].value == psnr(clip.rgb[3, 1], clip.rgb[2, 1])
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
    scores, _, _ = scored(masks=False, lidar=True)
    assert scores.not_applicable == {
        "oracle_reprojection": "true depth is lidar, not dense",
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
