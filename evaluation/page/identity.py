"""What a report is of: model, data, protocol, networks, statistics and licences, each by its digest."""

from dataclasses import dataclass

from evaluation.base import fingerprint
from evaluation.extractors.identity import ExtractorIdentity
from evaluation.page.figures import count
from evaluation.report import Report
from worldmodel.data.shards import ClipStore


@dataclass(frozen=True)
class Fact:
    """A named text; `code` where it is a digest or id, to be read letter by letter."""

    name: str
    text: str
    code: bool = False


@dataclass(frozen=True)
class Facts:
    title: str
    facts: tuple[Fact, ...]


def identity(report: Report, store: ClipStore) -> list[Facts]:
    """All of it, by subject."""
    return [_model(report), _data(report, store), _protocol(report), *map(_extractor, report.protocol.extractors)]


def _model(report: Report) -> Facts:
    parts = [Fact(name, digest, code=True) for name, digest in sorted(report.model.parts.items())]
    own = [Fact("name", report.model.name), Fact("sha256", report.model.sha256, code=True)]
    return Facts("Model", (*own, *parts, Fact("report", fingerprint(report), code=True)))


def _data(report: Report, store: ClipStore) -> Facts:
    facts = [Fact("sha256", report.data.sha256, code=True)]
    for source in report.data.sources:
        held = ", ".join(f"{split} {count(n, 'clip')}" for split, n in sorted(source.clips.items()))
        facts.append(Fact(source.name, held or "no clip"))
        licences = sorted({store.row(clip_id)["licence"] for clip_id in store.clip_ids(source=source.name)})
        facts.append(Fact(f"licence of {source.name}", ", ".join(licences) or "none named"))
    return Facts("Data", tuple(facts))


def _protocol(report: Report) -> Facts:
    protocol, statistics = report.protocol, report.statistics
    facts = [
        Fact("name", protocol.preset.name),
        Fact("says", protocol.preset.says),
        Fact("of the preset", protocol.preset.fingerprint, code=True),
        Fact("as measured", report.protocol_fingerprint, code=True),
        Fact("metrics version", str(protocol.metrics_version)),
    ]
    for name, source in sorted(protocol.sources.items()):
        frames = " or ".join(map(str, source.n_frames))
        facts.append(Fact(name, f"{frames} frames of {' or '.join(source.resolutions)}; {', '.join(source.cameras)}"))
    facts.append(Fact("means", f"{statistics.method}; {statistics.resamples} resamples, seed {statistics.seed}"))
    facts.append(Fact("distances", statistics.distances))
    return Facts("Protocol and statistics", tuple(facts))


def _extractor(extractor: ExtractorIdentity) -> Facts:
    return Facts(
        f"Network {extractor.id}",
        (
            Fact("kind", extractor.kind),
            Fact("weights", extractor.package),
            Fact("licence", extractor.licence),
            Fact("reads", f"{extractor.layer}, {extractor.dims} numbers, of {extractor.input}"),
            Fact("file sha256", extractor.file_sha256, code=True),
            Fact("tensors", extractor.tensor_fingerprint, code=True),
        ),
    )
