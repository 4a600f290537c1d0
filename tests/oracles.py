"""Implementations by others, from .venv/oracles (`requirements/oracles.txt`), for tests that hold ours against them."""

import importlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from unittest import mock

import torch
from torch import Tensor, nn

from evaluation.extractors.weights import INCEPTION

DIRECTORY = Path(sys.prefix) / "oracles"


def torch_fidelity(module: str) -> ModuleType:
    """A module of torch-fidelity by itself: neither its package's imports nor its file reading, which need torchvision.

    Args:
        module: `feature_extractor_inceptionv3`, `metric_fid`, `metric_kid`, `interpolate_compat_tensorflow`.
    """
    place = DIRECTORY / "torch_fidelity"
    assert place.is_dir(), f"{place} is missing: make setup"
    if "torch_fidelity" not in sys.modules:
        package = ModuleType("torch_fidelity")
        package.__path__ = [str(place)]
        sys.modules["torch_fidelity"] = package
        sys.modules["torch_fidelity.utils"] = mock.MagicMock(name="torch_fidelity.utils")
    return importlib.import_module(f"torch_fidelity.{module}")


def fidelity_inception(tensors: Mapping[str, Tensor]) -> nn.Module:
    """torch-fidelity's Inception with our weights: uint8 [B, 3, H, W] to a tuple of one, features [B, 2048].

    Both number the 94 convolutions by their place in the graph, so they are matched in that order, and torch checks the
    shapes. The classifier, which features do not pass, is zero.
    """
    ours = sorted((name.removesuffix(".weight") for name in tensors if name.endswith(".weight")), key=_in_order)
    module = torch_fidelity("feature_extractor_inceptionv3")
    with mock.patch.object(nn.Module, "load_state_dict"):
        theirs = module.FeatureExtractorInceptionV3("shape", ["2048"], _saved({})).state_dict()
    units = [name.removesuffix(".conv.weight") for name in theirs if name.endswith(".conv.weight")]
    state = {name: torch.zeros_like(value) for name, value in theirs.items() if name.startswith("fc.")}
    for unit, name in zip(units, ours, strict=True):
        bias = tensors[f"{name}.beta"]
        state |= {f"{unit}.conv.weight": tensors[f"{name}.weight"], f"{unit}.bn.bias": bias}
        state |= {f"{unit}.bn.running_mean": tensors[f"{name}.mean"], f"{unit}.bn.running_var": tensors[f"{name}.var"]}
        state |= {f"{unit}.bn.weight": torch.ones_like(bias), f"{unit}.bn.num_batches_tracked": torch.tensor(0)}
    network: nn.Module = module.FeatureExtractorInceptionV3(INCEPTION.id, ["2048"], _saved(state))
    return network


def _in_order(name: str) -> list[tuple[bool, str, int]]:
    """`conv`, `conv_1`, `tower.conv`, `tower_1.conv`: a name without a number is the first of its kind."""
    parts = name.replace("_", ".").split(".")
    return [(part.isdigit(), "" if part.isdigit() else part, int(part) if part.isdigit() else 0) for part in parts]


def _saved(state: Mapping[str, Tensor]) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(dict(state), file)
    file.seek(0)
    return file
