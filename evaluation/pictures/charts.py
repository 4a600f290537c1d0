"""Two charts: how training went, and PSNR of every clip beside its baselines."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.metrics.catalogue import PSNR
from evaluation.pictures.style import (
    INK,
    MODEL_COLOUR,
    NEAREST_COLOUR,
    ORACLE_COLOUR,
    new_figure,
    save_png,
    titled,
)
from evaluation.report import NEAREST, ORACLE, Group, Metric
from evaluation.training import Curve, History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_HEIGHT_PX, WIDTH_PX = 360, 1200
_NAMED_CLIPS = 16


def draw_curve(path: Path, history: History) -> None:
    """Writes the training loss and, where it was measured, the validation PSNR, over steps."""
    panels = 2 if history.val_psnr else 1
    with new_figure(WIDTH_PX if panels == 2 else WIDTH_PX // 2 + 100, PANEL_HEIGHT_PX) as figure:
        axes = figure.subplots(1, panels, squeeze=False)[0]
        _draw_loss(axes[0], history.loss)
        if history.val_psnr:
            _draw_validation(axes[1], history)
        figure.tight_layout(pad=1.5, w_pad=3)
        save_png(figure, path)


def draw_psnr_by_clip(path: Path, groups: list[Group], model: str) -> None:
    """Writes one panel a group: PSNR of each clip for the model, nearest context and oracle, sorted by the model's."""
    found = [(group, metric) for group in groups if (metric := group.metric(PSNR.id)) is not None]
    with new_figure(WIDTH_PX, PANEL_HEIGHT_PX) as figure:
        shares = [max(4, min(metric.n_clips, 24)) for _, metric in found] or [1]
        axes = figure.subplots(1, len(shares), squeeze=False, sharey=True, width_ratios=shares)[0]
        for panel, (group, metric) in zip(axes, found, strict=False):
            _draw_clips(panel, group, metric, model)
        if found:
            axes[0].set_ylabel("dB")
            labels = {
                name: mark for panel in axes for mark, name in zip(*panel.get_legend_handles_labels(), strict=True)
            }
            figure.legend(labels.values(), labels.keys(), loc="lower center", ncols=len(labels))
        else:
            axes[0].set_axis_off()
            axes[0].text(0.5, 0.5, "no clip was measured", ha="center", color=INK)
        figure.tight_layout(pad=1.5, w_pad=3, rect=(0, 0.06, 1, 1))
        save_png(figure, path)


def _draw_loss(axes: "Axes", loss: Curve) -> None:
    titled(axes, "Training loss", "training step", "loss")
    if not loss:
        return
    steps, values = np.array([step for step, _ in loss]), np.array([value for _, value in loss])
    window = max(1, len(values) // 20)
    axes.plot(
        steps, values, color=MODEL_COLOUR, alpha=0.25, linewidth=1, label="each logged step" if window > 1 else None
    )
    if window > 1:
        smooth = np.convolve(values, np.full(window, 1 / window), mode="valid")
        axes.plot(
            steps[window // 2 :][: len(smooth)],
            smooth,
            color=MODEL_COLOUR,
            linewidth=2,
            label=f"mean of {window} logged steps",
        )
        axes.legend(loc="upper right")
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > 10 * finite.min():
        axes.set_yscale("log")


def _draw_validation(axes: "Axes", history: History) -> None:
    titled(axes, "PSNR on validation clips", "training step", "dB")
    axes.plot(
        *zip(*history.val_psnr, strict=True), color=MODEL_COLOUR, linewidth=2, marker="o", markersize=4, label="model"
    )
    if history.val_psnr_nearest:
        steps, values = zip(*history.val_psnr_nearest, strict=True)
        axes.plot(steps, values, color=NEAREST_COLOUR, linewidth=2, linestyle="--", label="nearest context frame")
        axes.legend(loc="best")


def _draw_clips(axes: "Axes", group: Group, metric: Metric, model: str) -> None:
    clips = sorted((c for c in metric.per_clip if c.value is not None), key=lambda c: (c.value or 0.0, c.clip_id))
    rank = np.arange(len(clips))
    values = np.array([c.value for c in clips], dtype=np.float64)
    nearest = np.array([c.baselines.get(NEAREST, np.nan) for c in clips])
    oracle = np.array([c.baselines.get(ORACLE, np.nan) for c in clips])
    few = len(clips) <= 60
    axes.vlines(rank, nearest, values, color=MODEL_COLOUR, alpha=0.3, linewidth=3 if few else 1)
    size = 40 if few else 10
    if np.isfinite(oracle).any():
        axes.scatter(
            rank, oracle, s=size * 1.6, color=ORACLE_COLOUR, marker="_", linewidths=2, label="oracle reprojection"
        )
    axes.scatter(rank, values, s=size, color=MODEL_COLOUR, zorder=3, label=model)
    axes.scatter(rank, nearest, s=size, color=NEAREST_COLOUR, zorder=2, label="nearest context frame")
    axes.grid(axis="x", visible=False)
    axes.set_xlim(-0.6, len(clips) - 0.4)
    if len(clips) <= _NAMED_CLIPS:
        axes.set_xticks(rank, [c.clip_id for c in clips], rotation=20, ha="right", fontsize=8)
    else:
        axes.set_xticks([])
    note = "same log" if group.same_log else f"{group.split} split"
    x = "" if len(clips) <= _NAMED_CLIPS else f"{len(clips)} clips, sorted by the model's PSNR"
    titled(axes, f"PSNR by clip: {group.source} ({note})", x, "")
