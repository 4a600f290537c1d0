"""Measures renders: the clips that the protocol counts in, the groups of a report's reconstruction out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.extractors.identity import ExtractorIdentity
from evaluation.extractors.networks import Networks
from evaluation.grouping import group_clips, not_applicable
from evaluation.perceptual import Perceptual, perceptual_metrics
from evaluation.protocols import Preset
from evaluation.renders import RenderedClip, RenderIndex, check_frames, read_renders
from evaluation.report import Group, NotApplicable, Statistics
from evaluation.scoring import ClipScores, of_cameras, score_clip
from evaluation.slices import Slicing, with_slices
from worldmodel.data.manifest import ClipRow
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RenderedClips:
    """The renders of a reconstruction and the true clips behind them; `index` holds those that count."""

    root: Path
    index: RenderIndex
    store: ClipStore


@dataclass(frozen=True)
class Reconstruction:
    """The groups of a report, every network that was used, and what could not be measured."""

    groups: tuple[Group, ...]
    extractors: tuple[ExtractorIdentity, ...]
    not_applicable: tuple[NotApplicable, ...]


def measure_reconstruction(
    renders: RenderedClips,
    preset: Preset,
    slicing: Slicing,
    statistics: Statistics,
    networks: Networks | None,
    progress: Progress = lambda done, total: None,
) -> Reconstruction:
    """Measures every group of rendered clips.

    Args:
        renders: of the clips that the preset counts.
        preset: how they are measured.
        slicing: which slices they are in.
        statistics: of the intervals.
        networks: of LPIPS and DISTS, opened where there is a render; None where the preset asks for none.
        progress: called with the clips measured and those to measure.

    Raises:
        DataError: renders that are missing, damaged, not of these clips or of frames that training may have read.
        MissingDependencyError: the weights of a network that the preset asks for are not there.
    """
    entries = renders.index.clips
    learned = perceptual_metrics(preset.reconstruction, networks) if entries and preset.reconstruction else ()
    scores = []
    for done, entry in enumerate(entries):
        progress(done, len(entries))
        scores.append(_score(renders, entry, preset.cameras, learned))
    progress(len(entries), len(entries))
    groups = tuple(with_slices(group, slicing, statistics) for group in group_clips(scores, statistics))
    return Reconstruction(
        groups=groups,
        extractors=tuple(metric.identity for metric in learned),
        not_applicable=(*not_applicable(scores), *_left_out(renders, groups)),
    )


def _score(
    renders: RenderedClips, entry: RenderedClip, cameras: Sequence[str] | None, learned: Sequence[Perceptual]
) -> ClipScores:
    row, clip = renders.store.row(entry.clip_id), renders.store.load(entry.clip_id)
    said = (entry.log_id, entry.source, entry.split)
    if said != (row["log_id"], row["source"], row["split"]):
        raise DataError(
            f"renders of clip {entry.clip_id} are of another preparation of the data",
            expected=f"log, source and split {row['log_id']}, {row['source']}, {row['split']}",
            got=", ".join(said),
            fix="run the reconstruct stage again",
        )
    _check_held_out(entry, row)
    check_frames(entry, clip)
    return score_clip(*of_cameras(clip, read_renders(renders.root, entry, clip), cameras), entry=entry, learned=learned)


def _check_held_out(entry: RenderedClip, row: ClipRow) -> None:
    """Refuses to score frames that training may have read."""
    seen = sorted(set(entry.target_frames) - set(row["heldout_frames"])) if row["split"] == "train" else []
    if seen or entry.same_log != (row["split"] == "train"):
        raise DataError(
            f"clip {entry.clip_id} is of the {row['split']} split and cannot be measured as it was rendered",
            expected="clips of held-out logs; or held-out frames of a training log, marked same_log",
            got=f"same_log {entry.same_log}; target frames that training may read: {seen or 'none'}",
            fix="run the reconstruct stage again",
        )


def _left_out(renders: RenderedClips, groups: Sequence[Group]) -> list[NotApplicable]:
    """Clips that were never rendered, and groups that say nothing of unseen logs."""
    found = []
    unrendered = Counter((renders.store.row(c.clip_id)["source"], c.reason) for c in renders.index.left_out)
    for (source, reason), n in sorted(unrendered.items()):
        what = f"{n} {'clip' if n == 1 else 'clips'} of {source}"
        found.append(NotApplicable(what=what, reason=reason, stage="reconstruct", source=source))
    if not groups:
        found.append(NotApplicable(what="evaluation", reason="reconstruct rendered no clip that counts"))
    for group in groups:
        if group.same_log:
            reason = "its only log was also trained on (other frames), so its numbers say nothing of unseen logs"
            found.append(NotApplicable(what=f"held-out logs of {group.source}", reason=reason))
    return found
