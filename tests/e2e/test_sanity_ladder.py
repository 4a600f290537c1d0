"""Video and image distances on recorded driving, true and spoilt in known ways: what they see, and what they do not.

Two scenes of seven cameras, each camera a log of two clips of 16 frames at 10 Hz. The reference has every camera once,
half of them of either scene; the measured clips are the other half. With seven logs a side, a change is asked to be
there whichever log is left out, not to have an interval without zero. The table is printed (`pytest -s`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from evaluation.extractors.networks import FeatureNetwork, WeightedNetworks
from evaluation.metrics.distance_intervals import Distance, LogRows, Replicates, replicates
from evaluation.metrics.distances import frechet, kernel_distance
from evaluation.metrics.image import psnr
from tests.e2e.conftest import RECORDED

VIDEOS = RECORDED / "multicam_drive" / "videos"
A, B = "002b815b-7595-4d54-a9f4-4c62c83d3009", "0aef6f94-b02a-4c29-b99f-06fcd48ac0a0"
FIRST = ("cross_left_120fov", "rear_right_70fov", "front_tele_30fov", "front_wide_120fov")
SECOND = ("cross_right_120fov", "rear_left_70fov", "rear_tele_30fov")
REFERENCE = [*((A, camera) for camera in FIRST), *((B, camera) for camera in SECOND)]
MEASURED = [*((B, camera) for camera in FIRST), *((A, camera) for camera in SECOND)]
HEIGHT, WIDTH, STEP, WINDOW, STARTS = 180, 320, 3, 16, (0, 41)  # of 87 frames at 30 Hz
IMAGES = slice(3, None, 4)

Video = NDArray[np.uint8]
Clips = list[tuple[str, Video]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not VIDEOS.is_dir(), reason=f"no recorded videos at {VIDEOS}"),
]


def noisy(video: Video) -> Video:
    noise = np.random.default_rng(0).normal(0, 12, video.shape)
    return np.clip(video + noise, 0, 255).astype(np.uint8)


SPOILT: Mapping[str, Callable[[Video], Video]] = {
    "real": lambda video: video,
    "blur": lambda video: np.stack([gaussian_filter(frame, (2, 2, 0)) for frame in video]),
    "noise": noisy,
    "freeze": lambda video: np.repeat(video[:1], len(video), 0),
    "shuffle": lambda video: video[np.random.default_rng(1).permutation(len(video))],
    "reverse": lambda video: video[::-1],
}


@dataclass(frozen=True)
class Rung:
    """One way to spoil: distances with their replicates, and means over frames against the true ones."""

    distances: Mapping[str, Replicates]
    psnr: float
    lpips: float


def recorded(scene: str, camera: str) -> Clips:
    """Two clips of one camera; the first frame of each chunk is corrupt or a double, and dropped."""
    wanted = {start + STEP * i for start in STARTS for i in range(WINDOW)}
    frames: dict[int, Video] = {}
    for chunk in range(3):
        with av.open(str(VIDEOS / f"ftheta_camera_{camera}" / f"av_{scene}_{chunk}.mp4")) as file:
            for i, frame in enumerate(file.decode(video=0)):
                if i and chunk * 29 + i - 1 in wanted:
                    array = frame.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT, interpolation="AREA")
                    frames[chunk * 29 + i - 1] = array.astype(np.uint8)
    log = f"{scene[:4]} {camera}"
    return [(log, np.stack([frames[start + STEP * i] for i in range(WINDOW)])) for start in STARTS]


def features(network: FeatureNetwork, clips: Clips) -> LogRows:
    """A row a video, or one an image."""
    found = []
    for log, video in clips:
        rows = np.atleast_2d(network.cached(sha256(video.tobytes()).hexdigest(), partial(np.ascontiguousarray, video)))
        found.append((rows, [log] * len(rows)))
    return LogRows(np.concatenate([rows for rows, _ in found]), [log for _, logs in found for log in logs])


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rung]:
    networks = WeightedNetworks(tmp_path_factory.mktemp("features"))
    i3d, inception, lpips = networks.videos("squash224"), networks.images(), networks.lpips("alex")
    names: dict[str, tuple[FeatureNetwork, Distance]] = {
        "FVD": (i3d, frechet),
        "KVD": (i3d, kernel_distance),
        "FID": (inception, frechet),
        "KID": (inception, kernel_distance),
    }

    def seen(clips: Clips) -> dict[str, LogRows]:
        images = [(log, np.ascontiguousarray(video[IMAGES])) for log, video in clips]
        videos, pictures = features(i3d, clips), features(inception, images)
        return {name: videos if network is i3d else pictures for name, (network, _) in names.items()}

    reference = seen([clip for place in REFERENCE for clip in recorded(*place)])
    true = [clip for place in MEASURED for clip in recorded(*place)]
    found = {}
    for kind, spoil in SPOILT.items():
        clips = [(log, np.ascontiguousarray(spoil(video))) for log, video in true]
        rows = seen(clips)
        pairs = [(video, whole) for (_, video), (_, whole) in zip(clips, true, strict=True)]
        found[kind] = Rung(
            {name: replicates(distance, reference[name], rows[name]) for name, (_, distance) in names.items()},
            float(np.mean([psnr(x, y) for video, whole in pairs for x, y in zip(video[1:], whole[1:], strict=True)])),
            float(np.mean([lpips.distances(*map(lpips.features, (v[IMAGES], w[IMAGES]))) for v, w in pairs])),
        )
    show(found)
    return found


def show(ladder: Mapping[str, Rung]) -> None:
    print("\n         " + "".join(f"{name:>28}" for name in ladder["real"].distances) + "    PSNR   LPIPS")
    for kind, rung in ladder.items():
        cells = []
        for found in rung.distances.values():
            low, high = found.estimate.ci95 or (np.nan, np.nan)
            cells.append(f"{found.value:.3g} [{low:.3g}, {high:.3g}]")
        print(f"{kind:9}" + "".join(f"{cell:>28}" for cell in cells) + f"  {rung.psnr:6.1f}  {rung.lpips:6.3f}")


def change(ladder: Mapping[str, Rung], kind: str, metric: str) -> Replicates:
    """The paired difference of the spoilt clips and the true ones."""
    return ladder[kind].distances[metric] - ladder["real"].distances[metric]


def worse_whichever_log_is_left_out(found: Replicates) -> bool:
    return bool(found.value > 0 and (found.without_reference > 0).all() and (found.without_generated > 0).all())


@pytest.mark.parametrize("metric", ["KVD", "KID"])
def test_real_against_real_has_an_interval_that_covers_zero(ladder: dict[str, Rung], metric: str) -> None:
    interval = ladder["real"].distances[metric].estimate.ci95
    assert interval is not None and interval[0] < 0 < interval[1]


def test_so_few_clips_are_far_apart_in_fvd_by_its_bias_alone(ladder: dict[str, Rung]) -> None:
    interval = ladder["real"].distances["FVD"].estimate.ci95
    assert interval is not None and interval[0] > 300


@pytest.mark.parametrize("kind", ["blur", "noise", "freeze", "shuffle"])
def test_the_kernel_distance_of_videos_sees_what_is_spoilt(ladder: dict[str, Rung], kind: str) -> None:
    assert worse_whichever_log_is_left_out(change(ladder, kind, "KVD"))


def test_lost_motion_is_worse_than_lost_order_and_that_worse_than_blur_or_noise(ladder: dict[str, Rung]) -> None:
    kvd = {kind: rung.distances["KVD"].value for kind, rung in ladder.items()}
    assert kvd["freeze"] > kvd["shuffle"] > max(kvd["blur"], kvd["noise"]) > kvd["real"]


@pytest.mark.parametrize("metric", ["FVD", "KVD"])
def test_reversed_time_is_not_seen(ladder: dict[str, Rung], metric: str) -> None:
    found = change(ladder, "reverse", metric)
    interval = found.estimate.ci95
    assert interval is not None and interval[0] < 0 < interval[1]
    assert abs(found.value) < 0.3 * change(ladder, "freeze", metric).value
    assert ladder["reverse"].psnr < 20 and ladder["reverse"].lpips > 0.25, "what is compared with the truth sees it"


@pytest.mark.parametrize("metric", ["FID", "KID"])
def test_images_show_blur_and_noise_with_an_interval_and_no_order(ladder: dict[str, Rung], metric: str) -> None:
    for kind in ("blur", "noise"):
        interval = change(ladder, kind, metric).estimate.ci95
        assert interval is not None and interval[0] > 0
    for kind in ("shuffle", "reverse"):
        interval = change(ladder, kind, metric).estimate.ci95
        assert interval is not None and interval[0] < 0 < interval[1]
    assert change(ladder, "blur", metric).value > 2 * abs(change(ladder, "freeze", metric).value)


def test_the_image_sees_blur_in_lpips_first_and_frozen_motion_in_psnr(ladder: dict[str, Rung]) -> None:
    lpips = {kind: rung.lpips for kind, rung in ladder.items() if kind != "real"}
    assert ladder["real"].lpips == 0 and max(lpips, key=lambda kind: lpips[kind]) == "blur"
    assert ladder["freeze"].psnr < ladder["noise"].psnr < ladder["blur"].psnr
