"""AlexNet and VGG16 as torchvision lays them out, of plain torch modules with the weights of LPIPS."""

from collections.abc import Mapping

from torch import Tensor, nn

_VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def plain_alexnet(tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """The layers before the classifier, by torchvision's numbers."""
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    return _filled(layers, tensors, "AlexNet_0")


def plain_vgg16(tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """The layers before the classifier, by torchvision's numbers."""
    layers: list[nn.Module] = []
    before = 3
    for width in _VGG:
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2, 2)]
        before = width or before
    return _filled(nn.Sequential(*layers), tensors, "VGG16_0")


def _filled(layers: nn.Sequential, tensors: Mapping[str, Tensor], prefix: str) -> nn.Sequential:
    for place, layer in enumerate(layer for layer in layers if isinstance(layer, nn.Conv2d)):
        layer.weight = nn.Parameter(tensors[f"{prefix}.Conv_{place}.kernel"].permute(3, 2, 0, 1).contiguous())
        layer.bias = nn.Parameter(tensors[f"{prefix}.Conv_{place}.bias"])
    return layers.eval().requires_grad_(False)
