"""What can be said of the gsplat path: the call it makes everywhere, and parity where there is a GPU."""

import dataclasses
import inspect

import pytest
import torch

from tests.worldmodel.splat import oracle
from worldmodel.geometry.cameras import Cameras
from worldmodel.splat import Gaussians, rasterize
from worldmodel.splat.cuda import gsplat_arguments


def test_the_call_names_only_parameters_that_gsplat_has() -> None:
    gsplat = pytest.importorskip("gsplat")
    gaussians, cameras = oracle.scene(5, (8, 8), 0)
    arguments = gsplat_arguments(gaussians, cameras, near=0.1, far=100.0)
    bound = inspect.signature(gsplat.rasterization).bind(**arguments)
    assert bound.arguments["packed"] is False
    assert bound.arguments["render_mode"] == "RGB+ED"
    assert inspect.signature(gsplat.rasterization).parameters["eps2d"].default == 0.3


def test_viewmats_are_world_to_camera() -> None:
    gaussians, cameras = oracle.scene(5, (8, 8), 0, cameras=3)
    viewmats = gsplat_arguments(gaussians, cameras, 0.1, 100.0)["viewmats"]
    expected = torch.eye(4, dtype=viewmats.dtype).expand(3, 4, 4)
    torch.testing.assert_close(viewmats @ cameras.world_from_camera, expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_and_cpu_draw_the_same_image_and_gradients() -> None:
    gaussians, cameras = oracle.scene(2000, (64, 96), 1, cameras=2)
    names = [field.name for field in dataclasses.fields(Gaussians)]
    results = []
    for device in ("cpu", "cuda"):
        tensors = [getattr(gaussians, name).float().to(device).requires_grad_() for name in names]
        where = Cameras(cameras.world_from_camera.float(), cameras.Ks.float(), 64, 96).to(torch.device(device))
        rendering = rasterize(Gaussians(*tensors), where)
        gradients = torch.autograd.grad((rendering.rgb**2).sum() + rendering.alpha.sum(), tensors)
        results.append(([x.detach().cpu() for x in rendering], [x.cpu() for x in gradients]))
    for cpu, cuda in zip(results[0][0], results[1][0], strict=True):
        assert float((cpu - cuda).abs().quantile(0.999)) < 1e-3  # single pixels may flip at the alpha threshold
    for cpu, cuda in zip(results[0][1], results[1][1], strict=True):
        assert float((cpu - cuda).norm()) < 2e-3 * float(cpu.norm())  # gsplat rebuilds T as 1 - alpha
