"""Which of the rendered clips and generated videos a protocol counts, and why it leaves the others out."""

import math
from collections import Counter
from collections.abc import Iterable

from evaluation.generation.rollouts import RolloutIndex, RolloutSample
from evaluation.protocols import Preset, ReconstructionPreset
from evaluation.renders import RenderedClip, RenderIndex
from evaluation.report import NotApplicable
from worldmodel.data.manifest import ClipRow
from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError


def select_renders(index: RenderIndex, store: ClipStore, preset: Preset) -> tuple[RenderIndex, list[NotApplicable]]:
    """The index with the clips that count, and the others by reason.

    Raises:
        DataError: the renders were made from other context frames than the protocol gives.
    """
    rules = preset.reconstruction
    if rules is None:
        none = f"the protocol {preset.name} measures none"
        left_out = NotApplicable(what="reconstruction", reason=none, stage="reconstruct")
        return index.model_copy(update={"clips": ()}), [left_out]
    if index.protocol.context_stride != rules.context_stride:
        raise DataError(
            "the renders were made under another protocol",
            expected=f"a context stride of {rules.context_stride} ({preset.name})",
            got=str(index.protocol.context_stride),
            fix="set reconstruct.context_stride to the protocol's, or evaluate.protocol to one with this stride",
        )
    kept: list[RenderedClip] = []
    reasons: list[tuple[str, str]] = []
    for entry in index.clips:
        row = store.row(entry.clip_id)
        reason = _why_not(row, preset) or _why_not_reconstructed(row, rules)
        if reason is None:
            _check_context(entry, row, rules)
            kept.append(entry)
        else:
            reasons.append((row["source"], reason))
    return index.model_copy(update={"clips": tuple(kept)}), _counted(reasons, "clip", "reconstruct")


def select_rollouts(index: RolloutIndex, store: ClipStore, preset: Preset) -> tuple[RolloutIndex, list[NotApplicable]]:
    """The index with the videos that count, reference clips among them, and the generated others by reason."""
    if preset.generation is None:
        none = f"the protocol {preset.name} measures none"
        left_out = NotApplicable(what="generated videos", reason=none, stage="rollout")
        return index.model_copy(update={"samples": ()}), [left_out]
    kept: list[RolloutSample] = []
    reasons: list[tuple[str, str]] = []
    for sample in index.samples:
        reason = _why_no_video(sample, store.row(sample.clip_id), preset)
        if reason is None:
            kept.append(sample)
        elif sample.role == "generated":
            reasons.append((sample.source, reason))
    return index.model_copy(update={"samples": tuple(kept)}), _counted(reasons, "video", "rollout")


def _why_not(row: ClipRow, preset: Preset, reference: bool = False) -> str | None:
    """Why a clip does not count. Held-out frames of training logs stay where any data do: they are a group apart."""
    same_log = row["split"] == "train" and preset.dataset is None
    if preset.dataset not in (None, row["source"]):
        return f"the protocol {preset.name} is of {preset.dataset}"
    if row["split"] != preset.split and not same_log and not reference:
        return f"the protocol {preset.name} is of the {preset.split} split"
    missing = [camera for camera in preset.cameras or () if camera not in row["cameras"]]
    if missing:
        return f"no camera {', '.join(missing)}"
    for name, wanted, found in (("height", preset.height, row["height"]), ("width", preset.width, row["width"])):
        if wanted not in (None, found):
            return f"{name} {found}, and the protocol {preset.name} is of {wanted}"
    return None


def _why_not_reconstructed(row: ClipRow, rules: ReconstructionPreset) -> str | None:
    if rules.clip_frames not in (None, row["n_frames"]):
        return f"{row['n_frames']} frames, and the protocol is of {rules.clip_frames}"
    if rules.rate_hz is not None and not math.isclose(rules.rate_hz, row["rate_hz"], rel_tol=1e-3):
        return f"{row['rate_hz']:g} frames a second, and the protocol is of {rules.rate_hz:g}"
    return None


def _why_no_video(sample: RolloutSample, row: ClipRow, preset: Preset) -> str | None:
    if preset.cameras is not None and sample.camera not in preset.cameras:
        return f"the protocol {preset.name} has no camera {sample.camera}"
    return _why_not(row, preset, reference=sample.role == "reference")


def _check_context(entry: RenderedClip, row: ClipRow, rules: ReconstructionPreset) -> None:
    """Refuses renders of frames of somebody's own choice."""
    expected = (
        context_frames(row["n_frames"], rules.context_stride),
        target_frames(row["n_frames"], rules.context_stride),
    )
    if (entry.context_frames, entry.target_frames) != expected:
        raise DataError(
            f"clip {entry.clip_id} was not rendered as the protocol says",
            expected=f"context {expected[0]}, target {expected[1]}",
            got=f"context {entry.context_frames}, target {entry.target_frames}",
            fix="run the reconstruct stage again",
        )


def _counted(reasons: Iterable[tuple[str, str]], noun: str, stage: str) -> list[NotApplicable]:
    return [
        NotApplicable(
            what=f"{n} {noun if n == 1 else noun + 's'} of {source}", reason=reason, stage=stage, source=source
        )
        for (source, reason), n in sorted(Counter(reasons).items())
    ]
