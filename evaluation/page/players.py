"""Clips as synchronised videos, from the worst to the best: what was recorded, what the model made, and its error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.generation.psnr import psnr_by_frame
from evaluation.generation_report import REPEAT, TOKENIZER, GenerationGroup
from evaluation.metrics.image import psnr
from evaluation.page.generation import method_styles
from evaluation.page.sheets import Place, Sheet, make_sheet
from evaluation.pictures.films import TRUE, Film, Track, films_of, leading_method
from evaluation.pictures.samples import Sample, samples_of
from evaluation.pictures.strips import error_colours
from evaluation.pictures.style import Pixels
from evaluation.report import Group, Report
from worldmodel.data.shards import ClipStore

if TYPE_CHECKING:
    from pathlib import Path

    from evaluation.generation.rollouts import Rollouts
    from evaluation.renders import RenderIndex

_CURVE = (100.0, 40.0)


@dataclass(frozen=True)
class Picture:
    """One video of a player: its caption, a note beside it, its style, and its place on the sheet."""

    label: str
    note: str
    style: str
    place: Place


@dataclass(frozen=True)
class FrameCurve:
    """PSNR frame by frame as a path over the scrubber, in units of `_CURVE`."""

    name: str
    style: str
    path: str


@dataclass(frozen=True)
class Heading:
    """What is said of a clip: `rank` among the clips of its group, slices that it is in, and `times` of its frames."""

    clip_id: str
    rank: str
    facts: tuple[str, ...]
    rate_hz: float
    times: tuple[str, ...]


@dataclass(frozen=True)
class Player:
    """A clip to be played.

    Attributes:
        columns: pictures in a row, where the screen is wide enough.
        curves: PSNR by frame; `low`, `high` are the bounds of their axis in dB.
    """

    heading: Heading
    columns: int
    sheet: Sheet
    pictures: tuple[Picture, ...]
    curves: tuple[FrameCurve, ...]
    low: float
    high: float


@dataclass(frozen=True)
class _Part:
    """A video [T, H, W, 3] before it is on a sheet; `psnr` by frame, NaN where there is none."""

    label: str
    style: str
    video: Pixels
    note: str = ""
    psnr: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Budget:
    """How many clips of a group are shown, and how large the video of each may be."""

    clips: int
    largest_bytes: int


def render_players(
    report: Report, group: Group, index: "RenderIndex", store: ClipStore, root: "Path", budget: Budget
) -> list[Player]:
    """Players of reconstructed clips: a row a camera of truth, render and error."""
    return [_of_render(report, sample, budget) for sample in samples_of(group, index, store, root, budget.clips)]


def video_players(report: Report, group: GenerationGroup, rollouts: "Rollouts", budget: Budget) -> list[Player]:
    """Players of generated clips: recorded, through the tokenizer, generated, repeated, and the error."""
    styles = method_styles(group)
    return [
        _of_film(report, film, styles, leading_method(group) or "", rollouts.index.rate_hz, budget)
        for film in films_of(group, rollouts, budget.clips)
    ]


def _of_render(report: Report, sample: Sample, budget: Budget) -> Player:
    clip, targets = sample.clip, list(sample.entry.target_frames)
    truth, made = clip.rgb[targets], sample.renders.rgb
    parts = []
    for v, camera in enumerate(clip.cameras):
        values = np.array([psnr(ours, true) for ours, true in zip(made[:, v], truth[:, v], strict=True)], np.float64)
        parts += [
            _Part(f"{camera}: recorded", "truth", truth[:, v]),
            _Part("render", "model", made[:, v], f"{values.mean():.1f} dB", values),
            _Part("error", "error", error_colours(made[:, v], truth[:, v])),
        ]
    times = tuple(f"frame {t}, {clip.times_s[t] - clip.times_s[0]:.1f} s" for t in targets)
    curves = {"render, mean of cameras": ("model", np.mean([p.psnr for p in parts if p.psnr is not None], axis=0))}
    heading = Heading(clip.clip_id, sample.rank, _facts(report, clip.clip_id), clip.rate_hz, times)
    return _player(parts, 3, budget, heading, curves)


def _of_film(
    report: Report, film: Film, styles: dict[str, str], leading: str, rate_hz: float, budget: Budget
) -> Player:
    tracks = {track.name: track for track in film.tracks}
    truth = tracks[TRUE].video
    parts = [_of_track(tracks[name], truth, styles) for name in (TRUE, TOKENIZER, leading, REPEAT) if name in tracks]
    parts.append(_Part(f"error of {tracks[leading].label}", "error", error_colours(tracks[leading].video, truth)))
    times = tuple("given frame" if t == 0 else f"{t / rate_hz:.1f} s" for t in range(len(truth)))
    curves = {p.label: (p.style, p.psnr) for p in parts if p.psnr is not None}
    sample = film.sample
    heading = Heading(sample.sample_id, film.rank, _facts(report, sample.clip_id), rate_hz, times)
    return _player(parts, len(parts), budget, heading, curves)


def _of_track(track: Track, truth: Pixels, styles: dict[str, str]) -> _Part:
    if track.name == TRUE:
        return _Part(track.label, "truth", track.video)
    values = np.concatenate([[np.nan], psnr_by_frame(track.video, truth)])
    note = "" if track.psnr is None else f"{track.psnr:.1f} dB"
    return _Part(track.label, styles.get(track.name, "other-1"), track.video, note, values)


def _player(
    parts: Sequence[_Part],
    columns: int,
    budget: Budget,
    heading: Heading,
    curves: dict[str, tuple[str, NDArray[np.float64]]],
) -> Player:
    sheet = make_sheet([part.video for part in parts], columns, heading.rate_hz, budget.largest_bytes)
    pictures = tuple(Picture(p.label, p.note, p.style, at) for p, at in zip(parts, sheet.places, strict=True))
    known = np.concatenate([values[np.isfinite(values)] for _, values in curves.values()])
    low, high = (float(np.floor(known.min())), float(np.ceil(known.max()))) if known.size else (0.0, 1.0)
    high = max(high, low + 1.0)
    drawn = tuple(FrameCurve(name, style, _path(values, low, high)) for name, (style, values) in curves.items())
    return Player(heading, columns, sheet, pictures, drawn, low, high)


def _path(values: NDArray[np.float64], low: float, high: float) -> str:
    """A path over all frames; where a value is missing there is no line."""
    wide, tall = _CURVE
    step = wide / max(len(values) - 1, 1)
    points = [(i * step, (high - v) / (high - low) * tall) for i, v in enumerate(values) if np.isfinite(v)]
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) if points else ""


def _facts(report: Report, clip_id: str) -> tuple[str, ...]:
    """The slices that a clip is in."""
    slices = next((clip.slices for clip in report.clips if clip.clip_id == clip_id), {})
    return tuple(f"{dimension}: {value}" for dimension, value in sorted(slices.items()))
