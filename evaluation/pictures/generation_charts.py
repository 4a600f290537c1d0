"""Two charts of generated videos: every method's distance and PSNR, and PSNR as time goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.generation_report import (
    REPEAT,
    STUDENT,
    TEACHER,
    TOKENIZER,
    TRUE_FRAMES,
    UNDISTILLED,
    GenerationGroup,
    VideoMetric,
)
from evaluation.metrics.catalogue import KVD_TOK, VIDEO_PSNR
from evaluation.pictures.style import (
    INK,
    MODEL_COLOUR,
    NEAREST_COLOUR,
    ORACLE_COLOUR,
    new_figure,
    save_png,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_PX, _ROW_PX, _AROUND_PX = 1200, 34, 110
_COLOURS = {
    TOKENIZER: ORACLE_COLOUR,
    REPEAT: NEAREST_COLOUR,
    "bidirectional": "#bf8700",
    "bidirectional_causal": "#cf222e",
    TEACHER: "#8250df",
    UNDISTILLED: "#e16f24",
    "ode": "#1b7c83",
    STUDENT: MODEL_COLOUR,
}
_OTHER = "#57606a"


def draw_methods(path: Path, group: GenerationGroup) -> None:
    """Writes the table of methods as dots with intervals: KVD through the tokenizer if measured, and PSNR."""
    shown = [m for m in group.methods if m.name != TRUE_FRAMES]
    specs = [(KVD_TOK.id, "KVD through the same tokenizer: less is closer to real", "KVD")] * (not group.no_distances)
    specs.append((VIDEO_PSNR.id, "PSNR against the recorded frames: blur scores well", "dB"))
    with new_figure(_WIDTH_PX, _AROUND_PX + _ROW_PX * len(shown)) as figure:
        panels = figure.subplots(1, len(specs), squeeze=False, sharey=True)[0]
        for panel, (metric_id, title, unit) in zip(panels, specs, strict=True):
            values = [(m.name, m.metric(metric_id)) for m in shown]
            _draw_dots(panel, values)
            titled(panel, title, unit, "")
        names = [m.name.replace("_", " ") + (" (floor)" if m.role == "floor" else "") for m in shown]
        panels[0].set_yticks(range(len(shown)), names, color=INK)
        panels[0].set_ylim(len(shown) - 0.4, -0.6)
        figure.text(0.01, 0.015, _caption(group), fontsize=9, color=NEAREST_COLOUR)
        figure.tight_layout(pad=1.5, w_pad=3, rect=(0, 0.03, 1, 1))
        save_png(figure, path)


def draw_psnr_by_time(path: Path, group: GenerationGroup) -> None:
    """Writes the mean PSNR of every method at every measured frame."""
    with new_figure(_WIDTH_PX, 420) as figure:
        axes = figure.subplots()
        for method in group.methods:
            metric = method.metric(VIDEO_PSNR.id)
            if metric is None:
                continue
            dashed = method.role != "method"
            axes.plot(
                [at.time_s for at in metric.by_time],
                [at.value for at in metric.by_time],
                color=_COLOURS.get(method.name, _OTHER),
                linewidth=2.5 if method.name == STUDENT else 1.8,
                linestyle="--" if dashed else "-",
                marker="o",
                markersize=4,
                label=method.name.replace("_", " "),
            )
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        titled(axes, f"PSNR as time goes on: {_place(group)}", "seconds after the given frame", "dB")
        figure.tight_layout(pad=1.5)
        save_png(figure, path)


def _draw_dots(axes: "Axes", values: Sequence[tuple[str, VideoMetric | None]]) -> None:
    for row, (name, metric) in enumerate(values):
        if metric is None or metric.value is None:
            continue
        colour = _COLOURS.get(name, _OTHER)
        if metric.ci95 is not None:
            axes.hlines(row, metric.ci95.low, metric.ci95.high, color=colour, linewidth=3, alpha=0.35)
        if name in (TOKENIZER, REPEAT):
            axes.axvline(metric.value, color=colour, linewidth=1, linestyle="--", alpha=0.6)
        axes.scatter([metric.value], [row], s=55, color=colour, zorder=3)
    axes.grid(axis="y", visible=False)
    found = [m.value for _, m in values if m is not None and m.value is not None]
    if found and np.ptp(found) == 0:
        axes.set_xlim(found[0] - 1, found[0] + 1)


def _place(group: GenerationGroup) -> str:
    return f"{group.source} ({'same log' if group.same_log else f'{group.split} split'})"


def _caption(group: GenerationGroup) -> str:
    logs = "1 log" if group.n_logs == 1 else f"{group.n_logs} logs"
    barred = any(metric.ci95 is not None for method in group.methods for metric in method.metrics)
    text = f"{_place(group)}: {group.n_clips} clips of {logs}" + (", bars are 95 % intervals over logs" * barred)
    return text if group.no_distances is None else f"{text}; no distance: {group.no_distances}"
