"""What a pack holds, file by file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.base import canonical_json
from flows.audit.cards.croissant import prepared_card, source_card
from flows.audit.cards.cyclonedx import bill
from flows.audit.cards.data_facts import PreparedData
from flows.audit.cards.markdown import card_markdown
from flows.audit.cards.model_card import model_card
from flows.audit.cards.schema import ModelCard
from flows.audit.cards.subject import REPORT, Subject
from flows.audit.pack.code import code_files
from flows.audit.pack.page import Contents, page, readme
from flows.audit.pack.scope import Scope
from flows.bundle import PARTS
from flows.ledger.entry import Entry
from flows.ledger.keys import trusted_keys
from flows.lineage.records import (
    DECISION,
    ENVIRONMENT,
    GATE_INPUTS,
    LOCK,
    MANIFEST,
    PACKAGES,
    PARAMS,
    RECALLS,
    RUN_FILE,
    SOURCES,
    Records,
    RunStatement,
    stage_record,
)
from flows.manifest import file_sha256
from flows.signing.dsse import Envelope, envelope_bytes
from flows.workspace import Snapshot
from worldmodel.data.manifest import MANIFEST_NAME
from worldmodel.errors import RecordError

LEDGER, HEAD, ANCHORS = "ledger.ndjson", "head.json", "anchors.ndjson"
RECORDS, RUNS, CODE, WEIGHTS, KEYS, CARDS = "records", "runs", "code", "weights", "keys", "cards"
_TABLE = stage_record("prepare", MANIFEST_NAME)
COPIES = (
    *(RUN_FILE, PARAMS, LOCK, SOURCES, RECALLS, ENVIRONMENT, PACKAGES, GATE_INPUTS, DECISION, REPORT, _TABLE),
    *(stage_record("prepare", "not_included.json"), stage_record("validate", "verdict.json")),
)


@dataclass(frozen=True)
class Material:
    """What a pack is made from.

    Attributes:
        head: the ledger's head, signed by the exporter.
        keyid: of the exporter's key.
        weights: files of the model's parts, by path in the pack.
    """

    scope: Scope
    head: Envelope
    keyid: str
    checkout: Path
    weights: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def keyids(self) -> frozenset[str]:
        """The keys that the pack holds."""
        return self.scope.keys(self.keyid)

    @cached_property
    def entries(self) -> list[Entry]:
        """The ledger, without the bodies that are not the pack's business."""
        return self.scope.entries(self.keyids)


def pack_files(material: Material) -> Iterator[tuple[str, bytes | Path]]:
    """Every file but the seal: its path and content. Raises RecordError where a record is gone or altered."""
    scope = material.scope
    card = model_card(scope.subject)
    files = dict(_everything(material, card))
    yield from files.items()
    contents = Contents(card, {name: _size(content) for name, content in files.items()}, scope.runs, material.entries)
    yield "README.txt", readme(contents).encode()
    yield "index.html", page(contents).encode()


def _everything(material: Material, card: ModelCard) -> Iterator[tuple[str, bytes | Path]]:
    scope, records = material.scope, material.scope.subject.records
    yield LEDGER, b"".join((canonical_json(entry) + "\n").encode() for entry in material.entries)
    yield HEAD, envelope_bytes(material.head)
    yield ANCHORS, "".join(sorted(canonical_json(vars(anchor)) + "\n" for anchor in scope.anchors)).encode()
    for keyid, key in trusted_keys(scope.subject.entries).items():
        if keyid in material.keyids:
            yield f"{KEYS}/{keyid}.pub", key.public.pem.encode()
    for run_id in scope.runs:
        yield from _run_records(records, records.run(run_id))
    for run_id in sorted({scope.subject.made.run_id, scope.subject.decided.run_id}):
        yield from _copies(records, records.run(run_id))
    for run_id in scope.subject.origins:
        found = code_files(material.checkout, records.run(run_id))
        yield from ((f"{CODE}/{run_id}/{name}", content) for name, content in found.items())
    yield from _cards(scope.subject, card)
    yield from material.weights.items()


def _run_records(records: Records, run: RunStatement) -> Iterator[tuple[str, bytes]]:
    for name, sha256 in run.files.items():
        path = records.path(sha256).relative_to(records.folder).as_posix()
        yield f"{RECORDS}/{path}", records.get(sha256, f"{name} of run {run.run_id}")
    yield f"{RECORDS}/runs/{run.run_id}.json", envelope_bytes(run.envelope)


def _copies(records: Records, run: RunStatement) -> Iterator[tuple[str, bytes]]:
    """Records under their own names, for people and for other programs."""
    for name in COPIES:
        if name in run.files:
            yield f"{RUNS}/{run.run_id}/{name}", records.get(run.files[name], name)


def _cards(subject: Subject, card: ModelCard) -> Iterator[tuple[str, bytes]]:
    yield f"{CARDS}/model-card.md", card_markdown(card).encode()
    yield f"{CARDS}/model-card.json", _json(card.model_dump(mode="json"))
    yield f"{CARDS}/bom.cdx.json", _json(bill(card))
    if subject.data is not None:
        table = f"../{RUNS}/{subject.made.run_id}/{_TABLE}"
        for name, value in dataset_cards(subject.data, subject.made.facts.ended_at, table).items():
            yield f"{CARDS}/{name}.croissant.json", _json(value)


def dataset_cards(data: PreparedData, published: str, table_url: str) -> dict[str, dict[str, Any]]:
    """The Croissant cards of the prepared data and of every source, by the name of their file."""
    sources = {f"source-{name}": source_card(data, name, published, table_url) for name in data.by_source}
    return {"prepared": prepared_card(data, published, table_url)} | sources


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def weight_files(state: Path, subject: Subject) -> dict[str, Path]:
    """The weights of the model's parts, with config and manifest, laid out as in a workspace; checked by digest.

    Raises:
        RecordError: the workspace of the run does not hold them any more.
    """
    facts = subject.made.facts
    workspace = state / "workspaces" / Snapshot(facts.snapshot, facts.tree, facts.dirty).key
    found: dict[str, Path] = {}
    for part in (part for part in PARTS if part.name in subject.model.parts):
        folder = f"artifacts/{part.stage}"
        manifest = subject.made.files.get(stage_record(part.stage, MANIFEST), "")
        listed = subject.records.json(subject.made, stage_record(part.stage, MANIFEST))["files"]
        wanted = {MANIFEST: manifest, part.weights: subject.model.parts[part.name]}
        wanted |= {part.config: listed[part.config]["sha256"]} if part.config in listed else {}
        for name, sha256 in wanted.items():
            path = workspace / folder / name
            if not path.is_file() or file_sha256(path) != sha256:
                fix = f"worldmodel audit rebuild {subject.model.name}/{subject.model.version}"
                raise RecordError(f"{path} is gone or altered", expected=f"sha256 {sha256}", fix=fix)
            found[f"{WEIGHTS}/{folder}/{name}"] = path
    return found
