"""Logs to shards: reads every log once, splits by log, writes tar shards and their manifest.

Each log becomes a part in the resume directory (parallel, and kept if the process is killed); shards are then put
together from parts in a fixed order. So the output depends neither on the number of workers nor on interruptions.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, cast

from worldmodel.data.adapters.recorded import RATE_TOLERANCE
from worldmodel.data.atomic import atomic_file
from worldmodel.data.clip_checks import check_name
from worldmodel.data.config import PrepareConfig
from worldmodel.data.manifest import MANIFEST_NAME, SPLITS, ClipRow, Split, write_manifest
from worldmodel.data.parts import PartClip, is_finished, read_part, write_part
from worldmodel.data.pool import run_jobs
from worldmodel.data.protocol import target_frames
from worldmodel.data.recalls import Recalls
from worldmodel.data.schema import SCHEMA_VERSION
from worldmodel.data.shards import SHARD_DIRECTORY, write_shard
from worldmodel.data.sources import Source
from worldmodel.data.splits import assign_splits, refuse_unknown_pins
from worldmodel.errors import DataError, ParamsError, StageError, WorldModelError

NOT_INCLUDED_NAME = "not_included.json"
_LACKING = ("poses", "depth", "sky", "dynamic", "points", "boxes", "layout", "layout_video", "text")
_RECALLED = "recalled"
_SAME_LOG_LEFT_OUT = "a source with one usable log cannot be split by log, and prepare.same_log is leave_out"


@dataclass(frozen=True)
class Orders:
    """What the caller wants besides the settings.

    Attributes:
        recalls: logs that are not read, and clips that are dropped once their log was read.
        progress: told (logs done, logs in all) after each log.
        should_stop: asked between logs.
    """

    recalls: Recalls = field(default_factory=Recalls)
    progress: Callable[[int, int], None] = lambda done, total: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class _Log:
    """One log to read; travels to a worker process."""

    source: Source
    log_id: str
    part: Path


@dataclass
class _Selection:
    """Clips that go into shards with their splits, and logs and recalled clips that do not with the reason."""

    clips: list[tuple[PartClip, Split, list[int]]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    left_out_clips: list[dict[str, str]] = field(default_factory=list)

    def of_log(self, source: str, log_id: str, clips: Sequence[PartClip], recalls: Recalls) -> list[PartClip]:
        """The clips of a log that may be used; the others are noted, and the log too if none is left."""
        kept = [clip for clip in clips if clip.description["clip_id"] not in recalls.clips]
        where = {"source": source, "log_id": log_id, "reason": _RECALLED}
        names = [clip.description["clip_id"] for clip in clips if clip not in kept]
        self.left_out_clips += [where | {"clip_id": name} for name in names]
        self.left_out += [] if kept else [where]
        return kept


def prepare(
    sources: Sequence[Source],
    config: PrepareConfig,
    seed: int,
    out: Path,
    resume_dir: Path,
    orders: Orders | None = None,
) -> None:
    """Writes shards/, clips.parquet and not_included.json.

    Args:
        sources: where logs come from; opened with the same config and seed.
        config: image size, splits, shards, what to do with a broken log.
        seed: of the splits.
        out: an empty directory.
        resume_dir: keeps finished logs; a second call with the same arguments goes on from there.
        orders: recalled logs and clips; progress and stop callbacks.

    Raises:
        DataError: a broken log (if `on_broken_log` is fail), ids used twice, no usable log, damaged resume state.
        ParamsError: a pinned log that is not there, or pins or recalls that leave nothing to train on.
        WorkspaceError: the disk is full.
        Preempted: `should_stop` said so; finished logs are kept.
    """
    orders = orders or Orders()
    key = _resume_key(sources, config, seed)
    logs = [_Log(s, log_id, resume_dir / key / log_id) for s in sources for log_id in s.log_ids()]
    _refuse_double_ids("log", [log.log_id for log in logs])
    refuse_unknown_pins(
        config.pinned_splits, {s.name: [log.log_id for log in logs if log.source is s] for s in sources}
    )
    allowed = [log for log in logs if log.log_id not in orders.recalls.logs]
    broken = _read_logs(allowed, config, orders)
    selection = _select(logs, broken, orders.recalls, config, seed)
    _refuse_double_ids("clip", [clip.description["clip_id"] for clip, _, _ in selection.clips])
    if not selection.clips:
        reasons = "; ".join(f"{entry['log_id']}: {entry['reason']}" for entry in selection.left_out)
        raise DataError("no log can be used", expected="at least one clip", got=reasons or "no log at all")
    if not any(split == "train" for _, split, _ in selection.clips):
        what = "prepare.pinned_splits leaves no log to train on"
        if len(allowed) < len(logs) or selection.left_out_clips:
            what = "with what is recalled left out, prepare.pinned_splits and the seed leave no log to train on"
        fix = "pin at least one log to train, or add a source"
        raise ParamsError(what, expected="at least one log", fix=fix)
    rows = _write_shards(out / SHARD_DIRECTORY, selection, config.clips_per_shard)
    write_manifest(out / MANIFEST_NAME, rows)
    not_included: dict[str, Any] = {"logs": selection.left_out, "clips_without": _clips_without(rows)}
    if selection.left_out_clips:
        not_included["clips"] = selection.left_out_clips
    _write_json(out / NOT_INCLUDED_NAME, not_included | {"kept_rates": _kept_rates(rows, config.rate_hz)})


def _resume_key(sources: Sequence[Source], config: PrepareConfig, seed: int) -> str:
    """Names the directory of parts: parts of other settings or data are never mixed in."""
    settings = config.model_dump_json(exclude={"workers"})
    content = [SCHEMA_VERSION, settings, seed, [(source.name, source.digest()) for source in sources]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _refuse_double_ids(what: str, ids: Sequence[str]) -> None:
    doubles = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
    if doubles:
        raise DataError(f"{what} ids are used twice", expected="ids unique over all sources", got=", ".join(doubles))


def _read_logs(logs: Sequence[_Log], config: PrepareConfig, orders: Orders) -> dict[str, str]:
    """Makes the parts that are missing; the reasons of logs that are broken, by log id."""
    missing = [log for log in logs if not is_finished(log.part)]
    done, broken = len(logs) - len(missing), {}
    orders.progress(done, len(logs))
    for log, failure in run_jobs(_read_log, missing, config.workers, orders.should_stop):
        if failure is not None:
            if config.on_broken_log == "fail":
                raise failure
            broken[log.log_id] = " ".join(str(failure).split())
        done += 1
        orders.progress(done, len(logs))
    return broken


def _read_log(log: _Log) -> DataError | None:
    """Turns one log into a part; the error that says why it cannot be used."""
    try:
        check_name(f"log id {log.log_id}", log.log_id)
        clips = log.source.read_log(log.log_id)
        for clip in clips:
            if (clip.log_id, clip.source) != (log.log_id, log.source.name):
                expected, got = f"log {log.log_id} of {log.source.name}", f"log {clip.log_id} of {clip.source}"
                raise DataError(f"clip {clip.clip_id} names another log", expected=expected, got=got)
        if not clips:
            raise DataError(f"log {log.log_id} has no clips", expected="at least one")
        write_part(log.part, clips)
    except DataError as error:
        return DataError(f"log {log.log_id}: {error.what}", expected=error.expected, got=error.got, fix=error.fix)
    except WorldModelError:
        raise
    except Exception as error:
        raise StageError(f"reading log {log.log_id} failed: {type(error).__name__}: {error}") from error
    return None


def _select(
    logs: Sequence[_Log], broken: Mapping[str, str], recalls: Recalls, config: PrepareConfig, seed: int
) -> _Selection:
    """Splits the usable logs of each source; clips come out by split, then in the order of sources and logs.

    A recalled log keeps its rank among the others, and only then goes: a recall moves no other log to another split.
    """
    selection = _Selection()
    for name, group in groupby(logs, key=lambda log: log.source.name):
        of_source = list(group)
        reasons = {log.log_id: broken[log.log_id] for log in of_source if log.log_id in broken}
        ranked = [log for log in of_source if log.log_id not in broken]
        reasons |= {log.log_id: _RECALLED for log in ranked if log.log_id in recalls.logs}
        same_log = len(ranked) == 1 and config.pinned_splits.get(ranked[0].log_id, "train") == "train"
        if same_log and config.same_log == "leave_out":
            reasons.setdefault(ranked[0].log_id, _SAME_LOG_LEFT_OUT)
        splits = assign_splits([log.log_id for log in ranked], config.split, seed, config.pinned_splits)
        for log in ranked:
            if log.log_id in reasons:
                continue
            for clip in selection.of_log(name, log.log_id, read_part(log.part), recalls):
                held_out = _held_out(clip.description["n_frames"], config.context_stride) if same_log else []
                selection.clips.append((clip, splits[log.log_id], held_out))
        selection.left_out += [{"source": name, "log_id": log_id, "reason": why} for log_id, why in reasons.items()]
    selection.clips.sort(key=lambda entry: SPLITS.index(entry[1]))
    return selection


def _held_out(n_frames: int, stride: int) -> list[int]:
    """Frames that no training may read, where only frames can be held out; a single frame cannot be split."""
    return list(target_frames(n_frames, stride)) if n_frames > 1 else []


def _write_shards(directory: Path, selection: _Selection, clips_per_shard: int) -> list[ClipRow]:
    rows: list[ClipRow] = []
    n_shards = 0
    for _, group in groupby(selection.clips, key=lambda entry: entry[1]):
        of_split = iter(group)
        while batch := list(islice(of_split, clips_per_shard)):
            name = f"shard-{n_shards:05d}.tar"
            offsets = write_shard(directory / name, (clip.read() for clip, _, _ in batch))
            for (clip, split, held_out), offset in zip(batch, offsets, strict=True):
                rows.append(_row(clip, split, held_out, name, offset))
            n_shards += 1
    return rows


def _row(clip: PartClip, split: Split, held_out: list[int], shard: str, offset: int) -> ClipRow:
    return {
        **clip.description,
        "split": split,
        "heldout_frames": held_out,
        "shard": shard,
        "offset": offset,
        "byte_size": clip.byte_size,
        "sha256": clip.sha256,
    }


def _clips_without(rows: Sequence[ClipRow]) -> dict[str, dict[str, int]]:
    """By source: what clips lack, and how many of them do."""
    counts: dict[str, dict[str, int]] = {row["source"]: {} for row in rows}
    for row in rows:
        for what in _LACKING:
            if not cast(Mapping[str, object], row)[f"has_{what}"]:
                counts[row["source"]][what] = counts[row["source"]].get(what, 0) + 1
    return counts


def _kept_rates(rows: Sequence[ClipRow], rate_hz: float) -> dict[str, dict[str, int]]:
    """By source: rates above the one asked for, kept because they are no multiple of it, and of how many clips."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["rate_hz"] > rate_hz * (1 + RATE_TOLERANCE):
            of_source = counts.setdefault(row["source"], {})
            rate = f"{row['rate_hz']:g} Hz"
            of_source[rate] = of_source.get(rate, 0) + 1
    return counts


def _write_json(path: Path, content: Any) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
