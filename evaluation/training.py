"""Whether training did what it should, from the history that the training stage wrote."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.report import Training
from worldmodel.errors import DataError

HISTORY_FILE = "history.json"
Curve = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class History:
    """Curves of one training run as (step, value).

    Attributes:
        loss: the training loss.
        val_psnr, val_psnr_nearest: PSNR in dB on validation clips, of the model and of the nearest context frame.
    """

    loss: Curve
    val_psnr: Curve = ()
    val_psnr_nearest: Curve = ()


def read_history(path: Path) -> History:
    """Reads a history file: `{"steps": [{"step": int, "loss"?: float, "val_psnr"?: float, ...}, ...], ...}`, in order.

    Raises:
        DataError: missing, not JSON, or without such a list.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["steps"]
        return History(*(_curve(rows, key) for key in ("loss", "val_psnr", "val_psnr_nearest")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a readable training history",
            expected='{"steps": [{"step": ..., "loss": ...}, ...]}',
            got=repr(error),
            fix="run the training stage again",
        ) from error


def training_facts(history: History) -> Training:
    """Compares the mean loss of the first and the last tenth of the logged steps; a NaN counts as not falling."""
    losses = [loss for _, loss in history.loss]
    tenth = max(1, len(losses) // 10)
    steps = history.loss[-1][0] if history.loss else 0
    if len(losses) < 2:
        sentence = f"The training loss was logged {len(losses)} times: too few to say whether it fell."
        return Training(steps=steps, loss_first_tenth=None, loss_last_tenth=None, loss_fell=False, sentence=sentence)
    first, last = _mean(losses[:tenth]), _mean(losses[-tenth:])
    fell = first is not None and last is not None and last < first
    if first is None or last is None:
        sentence = "The training loss holds NaN or infinite values"
    else:
        sentence = f"The training loss {'fell' if fell else 'did not fall'}: {first:.4f} in the first tenth of "
        sentence += f"{steps} steps, {last:.4f} in the last"
    sentence += "."
    return Training(steps=steps, loss_first_tenth=first, loss_last_tenth=last, loss_fell=fell, sentence=sentence)


def _curve(rows: list[dict[str, Any]], key: str) -> Curve:
    return tuple((int(row["step"]), float(row[key])) for row in rows if row.get(key) is not None)


def _mean(values: Sequence[float]) -> float | None:
    mean = sum(values) / len(values)
    return mean if math.isfinite(mean) else None
