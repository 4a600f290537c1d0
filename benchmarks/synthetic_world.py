"""How fast the synthetic source makes clips: one process, CPU and wall time, and the parts of a clip.

python benchmarks/synthetic_world.py [--clips N] [--json]
"""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import WORLD_VERSION, SyntheticSource


def measure(clips: int) -> dict[str, float | int | str]:
    """Makes one clip of each of `clips` logs and times them."""
    config = SyntheticConfig(logs=clips, clips_per_log=1)
    source = SyntheticSource(config, seed=0)
    cpu, wall = time.process_time(), time.perf_counter()
    for log_id in source.log_ids():
        source.read_log(log_id)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    images = clips * config.frames * len(config.cameras)
    return {
        "world_version": WORLD_VERSION,
        "clips": clips,
        "frames": config.frames,
        "cameras": len(config.cameras),
        "size_px": f"{config.height}x{config.width}",
        "clips_per_cpu_s": round(clips / cpu, 3),
        "clips_per_wall_s": round(clips / wall, 3),
        "cpu_s_per_clip": round(cpu / clips, 3),
        "cpu_ms_per_image_all_included": round(1000 * cpu / images, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8, help="clips to make (default 8)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.clips)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
