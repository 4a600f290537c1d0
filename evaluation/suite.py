"""Measures a reconstruction model: prepared clips and renders in, a report out.

Values are means over the images of a clip, then over clips, so that a long clip does not count more. The same inputs,
resamples and seed give the same report, byte for byte.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.grouping import group_clips, not_applicable
from evaluation.metrics.catalogue import METRICS_VERSION
from evaluation.renders import RenderedClip, RenderIndex, check_frames, read_index, read_renders
from evaluation.report import (
    DataIdentity,
    Group,
    ModelIdentity,
    NotApplicable,
    Protocol,
    Report,
    SourceFacts,
    SourceProtocol,
    Statistics,
    Training,
    fingerprint,
)
from evaluation.scoring import ClipScores, score_clip
from evaluation.training import History, training_facts
from worldmodel.data.manifest import SPLITS, ClipRow
from worldmodel.data.shards import ClipStore
from worldmodel.data.sources import read_sources
from worldmodel.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Measured:
    """What `evaluate` measures: the directories of the stages before it, and the training history if there is one."""

    model_name: str
    prepare: Path
    reconstruct: Path
    history: History | None = None


def evaluate(measured: Measured, resamples: int, seed: int, progress: Progress = lambda done, total: None) -> Report:
    """Scores every rendered clip and writes up what was found.

    Args:
        measured: where the data and renders are.
        resamples, seed: of the bootstrap intervals.
        progress: called with clips done and clips in all.

    Raises:
        DataError: renders that are missing, damaged or not of these clips; a clip that cannot be read.
    """
    store, index = ClipStore(measured.prepare), read_index(measured.reconstruct)
    scores = []
    for done, entry in enumerate(index.clips):
        progress(done, len(index.clips))
        scores.append(_score(store, measured.reconstruct, entry))
    progress(len(index.clips), len(index.clips))
    statistics = Statistics(resamples=resamples, seed=seed)
    protocol = _protocol(store, index)
    groups = tuple(group_clips(scores, statistics))
    training = None if measured.history is None else training_facts(measured.history)
    beats, summary = _summary(groups, training)
    return Report(
        model=ModelIdentity(name=measured.model_name, sha256=index.model_sha256),
        data=DataIdentity(sha256=_data_digest(store, index.clips), sources=_sources(store, measured.prepare)),
        protocol=protocol,
        protocol_fingerprint=fingerprint(protocol),
        statistics=statistics,
        groups=groups,
        training=training,
        beats_baseline=beats,
        summary=summary,
        not_applicable=tuple(_left_out(scores, groups, store, index)),
    )


def _score(store: ClipStore, reconstruct: Path, entry: RenderedClip) -> ClipScores:
    row, clip = store.row(entry.clip_id), store.load(entry.clip_id)
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
    return score_clip(clip, entry, read_renders(reconstruct, entry, clip))


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


def _protocol(store: ClipStore, index: RenderIndex) -> Protocol:
    rows: dict[str, list[ClipRow]] = {}
    for entry in index.clips:
        rows.setdefault(entry.source, []).append(store.row(entry.clip_id))
    return Protocol(
        context_stride=index.protocol.context_stride,
        metrics_version=METRICS_VERSION,
        sources={
            source: SourceProtocol(
                cameras=tuple(sorted({camera for row in of_source for camera in row["cameras"]})),
                n_frames=tuple(sorted({row["n_frames"] for row in of_source})),
                resolutions=tuple(sorted({f"{row['height']}x{row['width']}" for row in of_source})),
            )
            for source, of_source in rows.items()
        },
    )


def _data_digest(store: ClipStore, clips: Iterable[RenderedClip]) -> str:
    """Digest of what was measured: which clips, their content, and which frames were context and target."""
    rows = [
        [c.clip_id, store.row(c.clip_id)["sha256"], list(c.context_frames), list(c.target_frames), c.same_log]
        for c in clips
    ]
    return fingerprint(sorted(rows))


def _sources(store: ClipStore, prepare: Path) -> tuple[SourceFacts, ...]:
    """Every source of the run, one that left no clip included: the gate asks for each of them."""
    path = prepare / "sources.json"
    rows = [store.row(clip_id) for clip_id in store.clip_ids()]
    names = {row["source"] for row in rows} | {source.name for source in read_sources(path)}
    facts = []
    for name in sorted(names):
        by_split = {split: [r for r in rows if r["source"] == name and r["split"] == split] for split in SPLITS}
        facts.append(
            SourceFacts(
                name=name,
                clips={split: len(found) for split, found in by_split.items()},
                logs={split: len({row["log_id"] for row in found}) for split, found in by_split.items()},
            )
        )
    return tuple(facts)


def _left_out(
    scores: Sequence[ClipScores], groups: Sequence[Group], store: ClipStore, index: RenderIndex
) -> list[NotApplicable]:
    found = not_applicable(scores)
    unrendered = Counter((store.row(clip.clip_id)["source"], clip.reason) for clip in index.left_out)
    for (source, reason), n in sorted(unrendered.items()):
        found.append(NotApplicable(what=f"{n} {'clip' if n == 1 else 'clips'} of {source}", reason=reason))
    if not scores:
        found.append(NotApplicable(what="evaluation", reason="reconstruct rendered no clip"))
    for group in groups:
        if group.same_log:
            reason = "its only log was also trained on (other frames), so its numbers say nothing of unseen logs"
            found.append(NotApplicable(what=f"held-out logs of {group.source}", reason=reason))
    return found


def _summary(groups: Sequence[Group], training: Training | None) -> tuple[bool | None, str]:
    """Whether PSNR is above nearest context on every held-out group (None if none says), and all of it in words."""
    judged = [group.beats_baseline for group in groups if not group.same_log]
    beats = None if not judged or None in judged else all(judged)
    verdict = {
        True: "The model beats the nearest-context baseline on every held-out group.",
        False: "The model does not beat the nearest-context baseline on every held-out group.",
        None: "No held-out comparison with the nearest-context baseline was possible.",
    }[beats]
    sentences = [group.sentence for group in groups] + ([training.sentence] if training else [])
    return beats, " ".join([verdict, *sentences])
