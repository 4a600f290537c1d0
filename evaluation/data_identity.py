"""Which data a report is about and how they were measured: digests and facts that tell comparable reports apart."""

from collections.abc import Iterable
from pathlib import Path

from evaluation.base import fingerprint
from evaluation.extractors.identity import ExtractorIdentity
from evaluation.generation.measure import Generation
from evaluation.metrics.catalogue import METRICS_VERSION
from evaluation.protocols import Preset
from evaluation.renders import RenderIndex
from evaluation.report import ClipFacts, Protocol, SourceFacts, SourceProtocol
from worldmodel.data.manifest import SPLITS, ClipRow
from worldmodel.data.shards import ClipStore
from worldmodel.data.sources import read_sources
from worldmodel.errors import DataError


def protocol_of(
    preset: Preset,
    store: ClipStore,
    index: RenderIndex | None,
    generation: Generation | None,
    extractors: Iterable[ExtractorIdentity],
) -> Protocol:
    """What must be equal before the numbers may be compared; `extractors` are those that were opened."""
    rows: dict[str, list[ClipRow]] = {}
    for entry in index.clips if index else ():
        rows.setdefault(entry.source, []).append(store.row(entry.clip_id))
    cameras = {source: {camera for row in found for camera in row["cameras"]} for source, found in rows.items()}
    known = {extractor.id: extractor for extractor in extractors}
    return Protocol(
        preset=preset,
        context_stride=index.protocol.context_stride if index and index.clips else None,
        metrics_version=METRICS_VERSION,
        sources={
            source: SourceProtocol(
                cameras=tuple(sorted(cameras[source] & set(preset.cameras or cameras[source]))),
                n_frames=tuple(sorted({row["n_frames"] for row in of_source})),
                resolutions=tuple(sorted({f"{row['height']}x{row['width']}" for row in of_source})),
            )
            for source, of_source in rows.items()
        },
        extractors=tuple(known[name] for name in sorted(known)),
        generation=generation.protocol if generation else None,
    )


def check_distinct(facts: Iterable[ClipFacts]) -> None:
    """Refuses to count a clip twice.

    Raises:
        DataError: two clips of the same frames, naming both.
    """
    seen: dict[str, str] = {}
    for clip in facts:
        other = seen.setdefault(clip.pixels_sha256, clip.clip_id)
        if other != clip.clip_id:
            raise DataError(
                "two measured clips show the same frames",
                expected="every recording once",
                got=f"{other} and {clip.clip_id}",
                fix="take one of them out of the sources and run the prepare stage again",
            )


def data_digest(store: ClipStore, index: RenderIndex | None, generation: Generation | None) -> str:
    """Digest of what was measured: which clips, their content, and which frames were context, target or generated."""
    rows = [
        [c.clip_id, store.row(c.clip_id)["sha256"], list(c.context_frames), list(c.target_frames), c.same_log]
        for c in (index.clips if index else ())
    ]
    rendered = fingerprint(sorted(rows))
    return rendered if generation is None else fingerprint([rendered, generation.data_sha256])


def source_facts(store: ClipStore, prepare: Path) -> tuple[SourceFacts, ...]:
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
