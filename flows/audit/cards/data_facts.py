"""What the prepared data of a run hold, from its clips.parquet and the small files beside it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict, cast

from flows.audit.cards.schema import LeftOut, RecalledData, SourceFacts, Validation
from flows.checks.verdict import describe_failures
from flows.ledger.standing import Recall
from flows.lineage.records import MANIFEST, Records, RunStatement, stage_record
from worldmodel.data.manifest import MANIFEST_NAME, SPLITS, read_manifest

_COLUMNS = [
    "clip_id",
    "log_id",
    "source",
    "licence",
    "split",
    "cameras",
    "n_frames",
    "height",
    "width",
    "rate_hz",
    "weather",
    "time_of_day",
    "shard",
]
_SHARDS = "shards/"


class ClipFacts(TypedDict):
    """The columns of a clip that cards speak of."""

    clip_id: str
    log_id: str
    source: str
    licence: str
    split: str
    cameras: list[str]
    n_frames: int
    height: int
    width: int
    rate_hz: float
    weather: str | None
    time_of_day: str | None
    shard: str


@dataclass(frozen=True)
class PreparedFile:
    """A file of the prepared output, by its path there."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class PreparedData:
    """The output of `prepare` in one run.

    Attributes:
        manifest_sha256: its digest.
        files: all of it.
        clips: a row a clip, in the order of the manifest.
        sources: as sources.json lists them.
        left_out: what is not there.
    """

    manifest_sha256: str
    files: tuple[PreparedFile, ...]
    clips: tuple[ClipFacts, ...]
    sources: tuple[Mapping[str, Any], ...]
    left_out: tuple[LeftOut, ...]

    @property
    def shards(self) -> tuple[PreparedFile, ...]:
        """The tar files that hold the clips."""
        return tuple(file for file in self.files if file.path.startswith(_SHARDS))

    @property
    def table(self) -> PreparedFile:
        """clips.parquet."""
        return next(file for file in self.files if file.path == MANIFEST_NAME)

    @cached_property
    def by_source(self) -> dict[str, list[ClipFacts]]:
        """The clips of every source, by name; a source without a clip has none."""
        found: dict[str, list[ClipFacts]] = {str(source["name"]): [] for source in self.sources}
        for clip in self.clips:
            found.setdefault(clip["source"], []).append(clip)
        return dict(sorted(found.items()))

    @cached_property
    def splits_of(self) -> dict[tuple[str, str], dict[str, int]]:
        """Clips by split of every (`log`, id) and (`clip`, id)."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for clip in self.clips:
            found["log", clip["log_id"]][clip["split"]] += 1
            found["clip", clip["clip_id"]][clip["split"]] += 1
        return {key: in_order(counts) for key, counts in found.items()}

    @property
    def shared_logs(self) -> tuple[str, ...]:
        """Logs with clips in more than one split."""
        return tuple(sorted(id_ for (what, id_), counts in self.splits_of.items() if what == "log" and len(counts) > 1))

    def seen(self, recall: Recall) -> RecalledData | None:
        """A recall with the splits that hold what it is about; None where none does."""
        clips = self.splits_of.get((recall.what, recall.id))
        if clips is None:
            return None
        return RecalledData(clips=clips, **recall.model_dump(include={"what", "id", "reason", "time", "sequence"}))


def prepared_data(records: Records, run: RunStatement) -> PreparedData | None:
    """The prepared data of a run, or None where it has none. Raises RecordError where a record is gone or altered."""
    manifest_name, table_name = stage_record("prepare", MANIFEST), stage_record("prepare", MANIFEST_NAME)
    if manifest_name not in run.files or table_name not in run.files:
        return None
    files = json.loads(records.get(run.files[manifest_name], manifest_name))["files"]
    records.get(run.files[table_name], table_name)  # its digest
    table = read_manifest(records.path(run.files[table_name]))
    not_included = records.json(run, stage_record("prepare", "not_included.json")) or {}
    listed = records.json(run, stage_record("prepare", "sources.json")) or {"sources": []}
    return PreparedData(
        manifest_sha256=run.files[manifest_name],
        files=tuple(PreparedFile(path, facts["sha256"], facts["bytes"]) for path, facts in sorted(files.items())),
        clips=tuple(cast("list[ClipFacts]", table.select(_COLUMNS).to_pylist())),
        sources=tuple(sorted(listed["sources"], key=lambda source: str(source["name"]))),
        left_out=tuple(_left_out(not_included)),
    )


def _left_out(not_included: Mapping[str, Any]) -> Iterable[LeftOut]:
    for kind, key in (("logs", "log_id"), ("clips", "clip_id")):
        for row in not_included.get(kind, []):
            yield LeftOut(source=str(row["source"]), id=str(row[key]), reason=str(row["reason"]))


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by split, in the usual order of splits."""
    return {split: counts[split] for split in (*SPLITS, *sorted(set(counts) - set(SPLITS))) if split in counts}


def source_facts(data: PreparedData) -> tuple[SourceFacts, ...]:
    """Every source, with what of it is in which split."""
    listed = {str(source["name"]): source for source in data.sources}
    return tuple(_source_facts(name, clips, listed.get(name, {})) for name, clips in data.by_source.items())


def _source_facts(name: str, clips: list[ClipFacts], listed: Mapping[str, Any]) -> SourceFacts:
    frames: Counter[str] = Counter()
    for clip in clips:
        frames[clip["split"]] += clip["n_frames"]
    return SourceFacts(
        name=name,
        adapter=str(listed.get("adapter", "")),
        digest=listed.get("digest"),
        licences=tuple(sorted({clip["licence"] for clip in clips})),
        clips=in_order(Counter(clip["split"] for clip in clips)),
        logs=in_order(Counter(split for split, _ in {(clip["split"], clip["log_id"]) for clip in clips})),
        frames=in_order(frames),
        cameras=tuple(sorted({camera for clip in clips for camera in clip["cameras"]})),
        resolutions=tuple(sorted({f"{clip['height']} x {clip['width']}" for clip in clips})),
        rates_hz=tuple(sorted({clip["rate_hz"] for clip in clips})),
        conditions={
            "weather": _counts(clip["weather"] for clip in clips),
            "time_of_day": _counts(clip["time_of_day"] for clip in clips),
        },
    )


def _counts(values: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value is not None).items()))


def validation(records: Records, run: RunStatement) -> Validation | None:
    """What the stage `validate` said of the data, or None where it left no verdict."""
    name = stage_record("validate", "verdict.json")
    verdict = records.json(run, name)
    if verdict is None:
        return None
    return Validation(
        fit=verdict.get("success") is True,
        suite_version=str(verdict.get("suite_version", "")),
        expectations=sum(len(suite["expectations"]) for suite in verdict.get("suites", [])),
        clips_sampled=len(verdict.get("sampled", [])),
        failures=tuple(describe_failures(verdict)),
        verdict_sha256=run.files[name],
    )
