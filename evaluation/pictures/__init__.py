"""Pictures of an evaluation, for people: PNGs, animations and videos that the same inputs give byte for byte."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.config import EvaluateConfig
from evaluation.report import Report

if TYPE_CHECKING:
    from evaluation.suite import Measured

_RECONSTRUCTOR = "WorldRec"


def draw_pictures(report: Report, measured: "Measured", config: EvaluateConfig, out: Path) -> list[Path]:
    """Writes every picture there is something to show for into `out`, and returns their paths.

    Of renders: `overview-<source>.png` a source, `psnr-by-clip.png`, `curve.png` when there is a training history, and
    `preview.png` (animated): the median clip of the first source that has several target frames. Of generated videos,
    a source: `generation-methods-`, `generation-psnr-by-time-` and `generation-strip-<source>.png`,
    `generation-<source>.mp4` and `generation-preview-<source>.png` (animated).
    """
    out.mkdir(parents=True, exist_ok=True)
    return [*_of_renders(report, measured, config, out), *_of_videos(report, measured, config, out)]


def _of_renders(report: Report, measured: "Measured", config: EvaluateConfig, out: Path) -> Iterator[Path]:
    from evaluation.pictures.charts import draw_curve, draw_psnr_by_clip
    from evaluation.pictures.overview import draw_overview
    from evaluation.pictures.preview import draw_preview
    from evaluation.pictures.samples import samples_of, shown_groups
    from evaluation.renders import read_index
    from worldmodel.data.shards import ClipStore

    if measured.history is not None:
        draw_curve(out / "curve.png", measured.history)
        yield out / "curve.png"
    if measured.reconstruct is None:
        return
    store, index, groups = ClipStore(measured.prepare), read_index(measured.reconstruct), shown_groups(report.groups)
    draw_psnr_by_clip(out / "psnr-by-clip.png", groups, _RECONSTRUCTOR)
    yield out / "psnr-by-clip.png"
    for group in groups:
        samples = samples_of(group, index, store, measured.reconstruct, config.overview_samples)
        path = out / f"overview-{group.source}.png"
        note = "same log, frames not trained on" if group.same_log else f"{group.split} split, logs not trained on"
        title = f"{_RECONSTRUCTOR} on {group.source}: {note}"
        draw_overview(path, samples, _RECONSTRUCTOR, title, config.picture_width_px)
        yield path
    for group in groups:
        sample = samples_of(group, index, store, measured.reconstruct, 1)[0]
        if len(sample.entry.target_frames) > 1:
            draw_preview(out / "preview.png", sample, _RECONSTRUCTOR, config.preview_fps)
            yield out / "preview.png"
            break


def _of_videos(report: Report, measured: "Measured", config: EvaluateConfig, out: Path) -> Iterator[Path]:
    from evaluation.generation.rollouts import Rollouts, read_rollouts
    from evaluation.pictures.films import films_of
    from evaluation.pictures.filmstrip import draw_filmstrip
    from evaluation.pictures.generation_charts import draw_methods, draw_psnr_by_time
    from evaluation.pictures.movie import draw_animation, pages, write_mp4
    from evaluation.pictures.samples import shown_groups
    from worldmodel.data.shards import ClipStore

    if measured.rollout is None:
        return
    root, scale = measured.rollout, config.video_scale
    rollouts = Rollouts(root, read_rollouts(root), ClipStore(measured.prepare))
    rate = rollouts.index.rate_hz
    for group in shown_groups(report.generation):
        name = group.source
        draw_methods(out / f"generation-methods-{name}.png", group)
        draw_psnr_by_time(out / f"generation-psnr-by-time-{name}.png", group)
        yield from (out / f"generation-methods-{name}.png", out / f"generation-psnr-by-time-{name}.png")
        films = films_of(group, rollouts, config.overview_samples)
        if not films:
            continue
        title = f"{name}: continued from the given frame and the layout"
        draw_filmstrip(out / f"generation-strip-{name}.png", films, title, rate, config.picture_width_px)
        write_mp4(out / f"generation-{name}.mp4", list(pages(films, rate, scale)), rate)
        draw_animation(out / f"generation-preview-{name}.png", films_of(group, rollouts, 1)[0], rate, scale)
        yield from (out / f"generation-{kind}" for kind in (f"strip-{name}.png", f"{name}.mp4", f"preview-{name}.png"))
