"""Random numbers as pure functions of what they are for: going on after a kill needs no generator state."""

import hashlib

import numpy as np
import torch


def seed_of(*key: int | str) -> int:
    """63 bits from the key: its parts' values and order count."""
    digest = hashlib.sha256("\0".join(f"{type(part).__name__}:{part}" for part in key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(*key: int | str) -> torch.Generator:
    """A CPU generator of its own for the key."""
    return torch.Generator().manual_seed(seed_of(*key))


def numpy_generator(*key: int | str) -> np.random.Generator:
    """A numpy generator of its own for the key."""
    return np.random.default_rng(seed_of(*key))
