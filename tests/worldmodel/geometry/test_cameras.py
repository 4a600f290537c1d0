"""Torch cameras: the same conventions as the numpy poses, and lookups where pixels are."""

import numpy as np
import pytest
import torch

from worldmodel.geometry import poses
from worldmodel.geometry.cameras import Cameras, full_precision, invert_pose, pixel_rays, pluecker_rays, sample_maps

K = torch.tensor([[[10.0, 0, 4.0], [0, 20.0, 2.0], [0, 0, 1]]])


@pytest.fixture
def cameras() -> Cameras:
    """One camera of 4 x 8 pixels, turned by 90 degrees about its y axis and moved."""
    pose = torch.eye(4)[None].clone()
    pose[0, :3, :3] = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    pose[0, :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    return Cameras(pose, K, height=4, width=8)


def test_rays_go_through_pixel_centres(cameras: Cameras) -> None:
    origins, directions = pixel_rays(cameras)
    assert origins[0].tolist() == [1.0, 2.0, 3.0]
    x, y = (7.5 - 4) / 10, (3.5 - 2) / 20
    assert directions[0, 3, 7].tolist() == pytest.approx([1.0, y, -x])


def test_rays_agree_with_the_numpy_geometry(cameras: Cameras) -> None:
    origins, directions = pixel_rays(cameras)
    points = (origins[:, None, None] + 5 * directions).double().numpy()
    viewmat = poses.invert_pose(cameras.world_from_camera.double().numpy())
    pixels, depth = poses.project_points(K.double().numpy(), poses.transform_points(viewmat, points.reshape(1, -1, 3)))
    columns, rows = np.meshgrid(np.arange(8) + 0.5, np.arange(4) + 0.5)
    np.testing.assert_allclose(pixels.reshape(4, 8, 2), np.stack([columns, rows], -1), atol=1e-4)
    np.testing.assert_allclose(depth, 5.0, atol=1e-5)


def test_inverting_a_pose_twice_gives_it_back_and_once_gives_viewmats(cameras: Cameras) -> None:
    pose = cameras.world_from_camera
    torch.testing.assert_close(invert_pose(invert_pose(pose)), pose)
    torch.testing.assert_close(cameras.viewmats @ pose, torch.eye(4)[None])


def test_resized_cameras_look_along_the_same_rays(cameras: Cameras) -> None:
    _, fine = pixel_rays(cameras)
    _, coarse = pixel_rays(cameras.resized(2, 4))
    torch.testing.assert_close(coarse, fine.reshape(1, 2, 2, 4, 2, 3).mean((2, 4)))


def test_pluecker_moments_are_those_of_every_point_on_the_ray(cameras: Cameras) -> None:
    rays = pluecker_rays(cameras, length_m=2.0)[0].permute(1, 2, 0)
    direction, moment = rays[..., :3], rays[..., 3:]
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(4, 8))
    point = cameras.world_from_camera[0, :3, 3] + 7 * direction
    torch.testing.assert_close(torch.cross(point / 2, direction, dim=-1), moment)


def test_a_map_is_read_at_pixel_centres_and_between_them() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 4, 8)
    pixels = torch.tensor([[0.5, 0.5], [3.5, 1.5], [4.0, 2.0], [-9.0, 2.0]])
    uv = pixels / torch.tensor([8.0, 4.0]) * 2 - 1
    assert sample_maps(ramp, uv[None])[0, :, 0].tolist() == pytest.approx([0.0, 3.0, 3.5, 0.0])


def test_coordinates_stay_in_full_precision_under_autocast() -> None:
    a = torch.rand(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        assert full_precision(lambda: a @ a)().dtype == torch.float32
