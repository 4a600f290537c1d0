"""Latents in memory: one fixed clip per sample, with the interface of the store on disk."""

from collections.abc import Sequence

from tests.worldmodel.worldgen.toy_denoiser import LATENTS, toy_clips
from worldmodel.worldgen.latents import LatentBatch
from worldmodel.worldgen.samples import SampleRow


def toy_row(number: int, source: str = "toy", split: str = "train", camera: str = "front", start: int = 0) -> SampleRow:
    clip = f"{source}-{number:03d}"
    return SampleRow(
        f"{clip}.{camera}.{start:03d}", clip, clip, source, camera, start, tuple(range(start, start + 9)), split, False,
        (1, 2), True, True,
    )  # type: ignore[arg-type]  # fmt: skip


class ToyLatents:
    """Six training samples, of which one is of a rare source, and two of the val split; three latent frames each."""

    def __init__(self, frames: int = 3) -> None:
        self.rows = [toy_row(n) for n in range(5)] + [toy_row(5, "rare")] + [toy_row(n, split="val") for n in (6, 7)]
        self.z, self.conditions = toy_clips(frames, len(self.rows), seed=3)
        self.z = 0.5 * self.z + 0.5  # a mean and a spread that can be learnt
        self.n_latent_frames, self.frames, self.rate_hz = frames, 4 * frames - 3, 10.0
        self.latent_shape = (LATENTS.channels, *LATENTS.grid)
        self.image_size = LATENTS.image_size
        self.vocabulary = ("weather=clear", "weather=fog", "weather=rain")

    def select(self, split: str, sources: Sequence[str] | None = None) -> list[SampleRow]:
        return [row for row in self.rows if row.split == split and (sources is None or row.source in sources)]

    def load(self, rows: Sequence[SampleRow]) -> LatentBatch:
        places = [self.rows.index(row) for row in rows]
        conditions = self.conditions.select(places)
        z = self.z[places]
        return LatentBatch(z, type(conditions)(**(vars(conditions) | {"first": z[:, 0].clone()})))
