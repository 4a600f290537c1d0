"""Pictures of an evaluation, for people: PNGs and one animation that the same inputs give byte for byte."""

from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.config import EvaluateConfig
from evaluation.report import Report

if TYPE_CHECKING:
    from evaluation.suite import Measured


def draw_pictures(report: Report, measured: "Measured", config: EvaluateConfig, out: Path) -> list[Path]:
    """Writes every picture there is something to show for into `out`, and returns their paths.

    `overview-<source>.png` a source, `psnr-by-clip.png`, `curve.png` when there is a training history, and
    `preview.png` (animated): the median clip of the first source that has several target frames.
    """
    from evaluation.pictures.charts import draw_curve, draw_psnr_by_clip
    from evaluation.pictures.overview import draw_overview
    from evaluation.pictures.preview import draw_preview
    from evaluation.pictures.samples import samples_of, shown_groups
    from evaluation.renders import read_index
    from worldmodel.data.shards import ClipStore

    out.mkdir(parents=True, exist_ok=True)
    store, index, model = ClipStore(measured.prepare), read_index(measured.reconstruct), report.model.name
    groups, written = shown_groups(report), [out / "psnr-by-clip.png"]
    draw_psnr_by_clip(written[0], groups, model)
    if measured.history is not None:
        written.append(out / "curve.png")
        draw_curve(written[-1], measured.history)
    for group in groups:
        samples = samples_of(group, index, store, measured.reconstruct, config.overview_samples)
        written.append(out / f"overview-{group.source}.png")
        note = "same log, frames not trained on" if group.same_log else f"{group.split} split, logs not trained on"
        title = f"{model} on {group.source}: {note}"
        draw_overview(written[-1], samples, model, title, config.picture_width_px)
    for group in groups:
        sample = samples_of(group, index, store, measured.reconstruct, 1)[0]
        if len(sample.entry.target_frames) > 1:
            written.append(out / "preview.png")
            draw_preview(written[-1], sample, model, config.preview_fps)
            break
    return written
