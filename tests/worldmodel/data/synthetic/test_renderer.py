from dataclasses import replace

import numpy as np
import pytest

from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.atmosphere import Atmosphere, atmosphere, tone
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.lidar import POSITION_M, RANGE_M, Lidar
from worldmodel.data.synthetic.renderer import MAX_DEPTH_M, Image, Pinhole, render
from worldmodel.data.synthetic.scene import LogWorld, Scene
from worldmodel.data.synthetic.solids import Material
from worldmodel.data.synthetic.source import SyntheticSource
from worldmodel.geometry.poses import pixel_directions, transform_points

CAMERA_HEIGHT = 1.6


def _clear_day() -> Atmosphere:
    return atmosphere("clear", "day", np.random.default_rng(0))


def _bare(scene: Scene) -> Scene:
    """The ground alone."""
    return replace(scene, solids=scene.solids.take(scene.solids.material == Material.ASPHALT))


def _looking_ahead(scene: Scene) -> np.ndarray:
    x, y, yaw = scene.ego
    pose = np.eye(4)
    pose[:3, :3] = np.stack([[np.sin(yaw), -np.cos(yaw), 0], [0, 0, -1], [np.cos(yaw), np.sin(yaw), 0]], -1)
    pose[:3, 3] = x, y, CAMERA_HEIGHT
    return pose


def _pinhole(height: int, width: int) -> Pinhole:
    focal = 0.7 * width
    return Pinhole(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]), height, width)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return LogWorld(seed=0, log=4, duration_s=5).scene(1.0)


def _render(scene: Scene, height: int = 64, width: int = 96) -> Image:
    return render(scene, _pinhole(height, width), _looking_ahead(scene), _clear_day(), gain=1.0)


def test_depth_of_the_ground_is_exact_z_depth(scene: Scene) -> None:
    image = _render(_bare(scene))
    down = pixel_directions(_pinhole(64, 96).K, 64, 96)[..., 1]
    expected = np.where(down > CAMERA_HEIGHT / MAX_DEPTH_M, CAMERA_HEIGHT / np.where(down > 0, down, 1), 0)
    np.testing.assert_allclose(image.depth, expected, rtol=1e-3)
    np.testing.assert_array_equal(image.sky, expected == 0)


def test_lifted_pixels_lie_on_a_box(scene: Scene) -> None:
    image, pose = _render(scene), _looking_ahead(scene)
    points = pixel_directions(_pinhole(64, 96).K, 64, 96)[~image.sky] * image.depth[~image.sky][:, None]
    points = transform_points(pose, points)
    solids, nearest = scene.solids, np.full(len(points), np.inf)
    for k in range(len(solids)):
        x, y, z = (points - solids.centre[k]).T
        cosine, sine = solids.heading[k]
        local = np.abs(np.stack([cosine * x + sine * y, cosine * y - sine * x, z], -1)) - solids.half[k]
        nearest = np.minimum(nearest, np.abs(local.max(1)))
    assert np.quantile(nearest, 0.999) < 0.01


def test_a_small_image_is_the_mean_of_a_large_one(scene: Scene) -> None:
    """What filtering promises: no aliasing, so downsampling four times finer sampling changes little."""
    small, large = _render(scene), _render(scene, 256, 384)
    linear = (large.rgb / 255.0) ** 2.2
    mean = linear.reshape(64, 4, 96, 4, 3).mean((1, 3)) ** (1 / 2.2)
    error = np.mean((mean - small.rgb / 255.0) ** 2)
    centre_only = np.mean((large.rgb[2::4, 2::4] / 255.0 - mean) ** 2)
    assert -10 * np.log10(error) > 31
    assert error < 0.4 * centre_only


def test_exposure_brightens(scene: Scene) -> None:
    camera, pose = _pinhole(32, 48), _looking_ahead(scene)
    dark, bright = (render(scene, camera, pose, _clear_day(), gain).rgb.mean() for gain in (0.8, 1.2))
    assert bright > dark + 5


def test_sizes_that_are_no_multiple_of_a_tile_work(scene: Scene) -> None:
    image = _render(scene, 37, 51)
    assert image.rgb.shape == (37, 51, 3)
    assert 0.02 < image.sky.mean() < 0.6


def test_the_sun_casts_shadows(scene: Scene) -> None:
    air = _clear_day()
    sunless = replace(air, sun_rgb=np.zeros(3, np.float32))
    lit, dark = (
        render(scene, _pinhole(64, 96), _looking_ahead(scene), a, 1.0).rgb.astype(float) for a in (air, sunless)
    )
    gain = (lit - dark).mean(-1)
    ground = np.zeros((64, 96), bool)
    ground[40:] = True
    assert np.abs(gain[ground]).min() < 1
    assert gain[ground].max() > 40


def test_fog_takes_contrast_from_what_is_far(scene: Scene) -> None:
    air = _clear_day()
    clear, foggy = (
        render(scene, _pinhole(64, 96), _looking_ahead(scene), replace(air, fog_per_m=fog), 1.0) for fog in (0.0, 0.03)
    )
    far = (clear.depth > 40) & (clear.depth < 120)
    near = (clear.depth > 0) & (clear.depth < 6)
    kept = [foggy.rgb[mask].std() / clear.rgb[mask].std() for mask in (near, far)]
    assert kept[1] < 0.6 * kept[0] < 0.6
    np.testing.assert_array_equal(clear.depth, foggy.depth)


def test_display_values_rise_with_light_and_stay_in_range() -> None:
    values = tone(np.linspace(-0.1, 50, 1000, dtype=np.float32))
    assert (np.diff(values) >= 0).all()
    assert values[0] == 0
    assert 0.99 < values[-1] <= 1


def test_lidar_returns_lie_on_the_ground_or_above_it_within_range(scene: Scene) -> None:
    lidar = Lidar(rings=16, azimuths=180)
    points, _ = lidar.scan(_bare(scene), np.eye(4), np.random.default_rng(0))
    assert 1000 < len(points) < 16 * 180
    assert np.abs(points[:, 2]).max() < 0.06
    assert np.linalg.norm(points - np.array(POSITION_M), axis=1).max() < RANGE_M + 0.2


def test_lidar_sees_all_round_and_names_the_agents_it_hits() -> None:
    world = LogWorld(seed=0, log=4, duration_s=5)
    scene = world.scene(1.0)
    x, y, yaw = scene.ego
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:2, 3] = x, y
    points, seen = Lidar(rings=16, azimuths=180).scan(scene, pose, np.random.default_rng(0))
    assert len(np.unique(np.floor(np.arctan2(points[:, 1], points[:, 0]) / (np.pi / 8)))) >= 16
    assert points.dtype == np.float32
    assert len(seen) > 2
    for index in seen:
        assert np.hypot(*np.subtract(scene.agents[index][1][:2], (x, y))) < RANGE_M + 5


def test_exposure_jitters_a_little_between_cameras_and_frames(day_clip: Clip) -> None:
    config = SyntheticConfig(logs=1, clips_per_log=1, frames=1, height=32, width=48, lidar_azimuths=12)
    clip = SyntheticSource(config, seed=0).read_log("synthetic-0000")[0]
    assert clip.rgb.std() > 5
    sky = [day_clip.rgb[t, 1][day_clip.sky[t, 1]].mean() for t in range(11)]  # type: ignore[index]
    assert 0.05 < np.ptp(sky) < 25
