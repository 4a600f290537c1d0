"""How fast metrics are: I3D's clips a second, Fréchet distances, and what every network costs an image.

    python -m benchmarks.metrics                        16 frames of 64 x 96 px; 2,048 features of 400 dimensions
    python -m benchmarks.metrics --threads 1 --rounds 9
    python -m benchmarks.metrics --json

Ratios are of rounds that take turns in one process: I3D to the same network by torch's conv3d, the Fréchet distance to
SciPy's root of the product of covariances. Nothing else should run meanwhile. It needs the weights of
`worldmodel metrics fetch-weights` and the development packages.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from benchmarks.worldgen import Figures, print_table, take_turns
from evaluation.extractors.i3d import I3D
from evaluation.extractors.networks import PerceptualNetwork, WeightedNetworks
from evaluation.extractors.preprocess import for_i3d
from evaluation.extractors.weights import I3D_K400, load_tensors
from evaluation.metrics.distances import frechet, kernel_distance

Matrix = NDArray[np.float64]
HEIGHT, WIDTH, DIMS, IMAGES = 64, 96, 400, 16
ROWS = (128, 2048)


@torch.inference_mode()
def i3d(frames: int, rounds: int) -> Figures:
    """Clips a second by kind of convolution, features of one clip at a time."""
    network, video = I3D(load_tensors(I3D_K400)), for_i3d(random_images(frames), "squash224")

    def plain() -> Any:
        with patch("torch.backends.mkldnn.is_available", return_value=False):
            return network(video)

    timed = take_turns({"oneDNN": lambda: network(video), "conv3d": plain}, rounds)
    return {
        way: {"clips_per_s": 1000 / timed.ms(way), "ms_per_clip": timed.ms(way), "ratio": timed.ratio(way, "oneDNN")}
        for way in ("oneDNN", "conv3d")
    }


def distances(rounds: int) -> tuple[Figures, float]:
    """Milliseconds of a distance of N features to N others, and the largest relative difference of SciPy's Fréchet."""
    found: Figures = {}
    off = 0.0
    for rows in ROWS:
        draw = np.random.default_rng(rows)
        scales = np.geomspace(1, 1e-2, DIMS)
        a, b = (draw.standard_normal((rows, DIMS)) * scales + shift for shift in (0.0, 0.1))
        ways: dict[str, Callable[[], Any]] = {
            f"Fréchet, N {rows}": lambda a=a, b=b: frechet(a, b),
            f"SciPy sqrtm, N {rows}": lambda a=a, b=b: frechet_by_root(a, b),
            f"kernel, N {rows}": lambda a=a, b=b: kernel_distance(a, b),
        }
        first, root, _ = ways
        timed, off = take_turns(ways, rounds), max(off, abs(ways[root]() / ways[first]() - 1))
        found |= {way: {"ms": timed.ms(way), "ratio": timed.ratio(way, first)} for way in ways}
    return found, off


def frechet_by_root(a: Matrix, b: Matrix) -> float:
    """The Fréchet distance as pytorch-fid has it, without its nudge of the diagonal."""
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(np.real(scipy.linalg.sqrtm(one @ other)))
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(one) + np.trace(other) - 2 * root)


def networks(rounds: int) -> Figures:
    """Milliseconds of an image by network: its features, and its distance to another whose features are there."""
    with tempfile.TemporaryDirectory() as folder:
        opened = WeightedNetworks(Path(folder))
        images, others = random_images(IMAGES), random_images(IMAGES, seed=1)
        pairs: list[PerceptualNetwork] = [opened.lpips("alex"), opened.lpips("vgg"), opened.dists()]
        inception = opened.images()
        timed = take_turns({"": lambda: inception.features(images)}, rounds)
        found: Figures = {inception.identity.id: {"features_ms": timed.ms("") / IMAGES, "distance_ms": 0.0}}
        for network in pairs:
            found[network.identity.id] = _pairwise(network, images, others, rounds)
    return found


def _pairwise(
    network: PerceptualNetwork, images: NDArray[np.uint8], others: NDArray[np.uint8], rounds: int
) -> dict[str, float]:
    a, b = network.features(images), network.features(others)
    ways: dict[str, Callable[[], Any]] = {
        "features": lambda: network.features(images),
        "distance": lambda: network.distances(a, b),
    }
    timed = take_turns(ways, rounds)
    return {f"{way}_ms": timed.ms(way) / IMAGES for way in ways}


def random_images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """[count, 64, 96, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=16, help="of a clip (default 16)")
    parser.add_argument("--rounds", type=int, default=5, help="of what takes turns (default 5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: torch's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes = {"frames": options.frames, "size_px": f"{HEIGHT}x{WIDTH}", "dims": DIMS, "threads": options.threads}
    found = {"I3D": i3d(options.frames, options.rounds), "networks": networks(options.rounds)}
    found["distances"], off = distances(options.rounds)
    if options.json:
        print(json.dumps({"sizes": sizes, **found, "scipy_off_by": off}))
        return
    print(", ".join(f"{name} {value}" for name, value in sizes.items()))
    print_table("I3D, one clip at a time; ratio to the first", found["I3D"])
    print_table("distances; ratio to the first of the same N", found["distances"])
    print(f"largest relative difference of SciPy's Fréchet distance: {off:.1e}")
    print_table("an image; distance with both features there", found["networks"])


if __name__ == "__main__":
    main()
