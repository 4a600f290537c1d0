"""Every objective against numbers worked out by hand, on clips of one channel and one cell."""

import pytest
import torch
from torch import Tensor

from worldmodel.worldgen.objectives import dmd_gradient, dmd_loss, flow_loss, masked_mean, ode_regression_loss

GIVEN = torch.tensor([True, False, False])


def clips(*values: list[float]) -> Tensor:
    return torch.tensor(values)[:, :, None, None, None]


def test_given_frames_count_in_no_mean() -> None:
    assert masked_mean(clips([100.0, 1.0, 2.0], [100.0, 3.0, 6.0]), GIVEN).item() == 3.0


def test_the_flow_loss_is_the_squared_distance_to_noise_minus_data() -> None:
    x0, noise = clips([5.0, 1.0, 2.0]), clips([5.0, 4.0, 0.0])
    # targets 3 and -2; errors 1 and 2
    assert flow_loss(clips([99.0, 2.0, 0.0]), x0, noise, GIVEN).item() == pytest.approx((1 + 4) / 2)


def test_the_regression_loss_is_the_squared_distance_to_the_end() -> None:
    assert ode_regression_loss(clips([9.0, 1.0, 2.0]), clips([0.0, 3.0, 2.0]), GIVEN).item() == pytest.approx(2.0)


def test_the_dmd_gradient_is_normalised_per_clip_by_the_distance_to_the_real_prediction() -> None:
    x = clips([7.0, 2.0, 4.0], [7.0, 1.0, 1.0])
    real = clips([0.0, 1.0, 1.0], [0.0, 0.5, 1.5])  # mean |x - real|: (1 + 3) / 2 = 2 and 0.5
    fake = clips([9.0, 3.0, 0.0], [9.0, 0.0, 2.0])
    gradient = dmd_gradient(x, real, fake, GIVEN)
    assert gradient.dtype == torch.float64
    assert gradient.flatten(1).tolist() == [[0.0, 1.0, -0.5], [0.0, -1.0, 1.0]]


def test_where_x_is_the_real_prediction_the_gradient_is_zero_and_not_nan() -> None:
    x = clips([1.0, 2.0, 3.0])
    assert dmd_gradient(x, x, x + 1, GIVEN).abs().sum().item() == 0.0


def test_the_dmd_loss_has_the_gradient_as_its_derivative() -> None:
    x = clips([7.0, 2.0, 4.0]).requires_grad_()
    gradient = clips([0.0, 3.0, -1.0]).double()
    loss = dmd_loss(x, gradient, GIVEN)
    assert loss.item() == pytest.approx(0.5 * (9 + 1) / 2)
    loss.backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.0, 1.5, -0.5]
