"""What belongs into a model's pack: which runs, which entries' bodies, whose keys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flows.audit.cards.subject import Subject
from flows.ledger.anchors import Anchor
from flows.ledger.bodies import KeyTrusted, ModelRegistered, PromotionIntended
from flows.ledger.entry import Entry
from flows.ledger.reading import bodies
from flows.lineage.records import GATE_INPUTS, RECALLS
from flows.signing.dsse import Envelope

_OF_A_NAME = {
    "promotion.intended",
    "promotion.completed",
    "promotion.abandoned",
    "alias.observed",
    "retraining.proposed",
}
_OF_A_MODEL = {"run.recorded", "model.registered", "approval.recorded", "champion.flagged"}
_OF_DATA = {"data.recalled", "data.reinstated"}
_OF_KEYS = {"key.trusted", "key.revoked"}


@dataclass(frozen=True)
class Scope:
    """The bounds of one pack.

    Attributes:
        subject: the model and its own runs.
        champions: (digest, runs) of each model that stands behind it: the champion that it was held against, the one
            that that was held against, and so on.
        anchors: signed heads that go with it.
    """

    subject: Subject
    champions: tuple[tuple[str, tuple[str, ...]], ...]
    anchors: tuple[Anchor, ...]

    @cached_property
    def runs(self) -> tuple[str, ...]:
        """The runs whose records the pack holds, by id."""
        return tuple(sorted({*self.subject.origins, *(run for _, runs in self.champions for run in runs)}))

    @cached_property
    def models(self) -> frozenset[str]:
        """Digests of the model and of the champions behind it."""
        return frozenset({self.subject.model.model_sha256, *(sha256 for sha256, _ in self.champions)})

    @cached_property
    def _data_ids(self) -> frozenset[str]:
        """Logs and clips that the model's data hold, or left out."""
        data = self.subject.data
        held = {id_ for _, id_ in data.splits_of} | {one.id for one in data.left_out} if data is not None else set()
        recalls = self.subject.records.json(self.subject.made, RECALLS) or {}
        return frozenset(held | set(recalls.get("logs", ())) | set(recalls.get("clips", ())))

    def keys(self, own: str) -> frozenset[str]:
        """Ids of every key that signed something in the pack (`own` signs the pack), and of those that vouch for it."""
        found = {own, *_signers(anchor.envelope for anchor in self.anchors)}
        records = self.subject.records
        for run in (records.run(run_id) for run_id in self.runs):
            found |= _signers([run.envelope, *(records.envelope(run, stage) for stage in run.stages)])
        for entry in self.subject.entries:
            if entry.kind == "approval.recorded" and self._concerns(entry):
                found |= _signers([(entry.body or {})["envelope"]])
        vouched = [(body.keyid, _signers([body.envelope])) for _, body in bodies(self.subject.entries, KeyTrusted)]
        for keyid, by in reversed(vouched):  # whoever vouches was trusted before
            if keyid in found:
                found |= by
        return frozenset(found)

    def entries(self, keys: frozenset[str]) -> list[Entry]:
        """The whole ledger, without the bodies that concern neither this model, its data, its keys nor its name."""
        promotions = {
            body.promotion for _, body in bodies(self.subject.entries, PromotionIntended) if self._named(body.name)
        }
        return [
            entry if self._kept(entry, keys, promotions) else entry.model_copy(update={"body": None})
            for entry in self.subject.entries
        ]

    def _kept(self, entry: Entry, keys: frozenset[str], promotions: set[str]) -> bool:
        body: dict[str, Any] = entry.body or {}
        if entry.kind in _OF_KEYS:
            return body.get("keyid") in keys
        if entry.kind in _OF_A_NAME:
            return body.get("promotion") in promotions or self._named(body.get("name"))
        return self._concerns(entry)

    def _named(self, name: object) -> bool:
        return name == self.subject.model.name

    def _concerns(self, entry: Entry) -> bool:
        body: dict[str, Any] = entry.body or {}
        if entry.kind in _OF_A_MODEL:
            return body.get("model_sha256") in self.models or body.get("run_id") in self.runs
        if entry.kind in _OF_DATA:
            return body.get("id") in self._data_ids
        if entry.kind == "retention.deleted":
            return any(run in str(item.get("path")) for item in body.get("items", ()) for run in self.runs)
        return True  # about the ledger itself


def scope_of(subject: Subject, anchors: Sequence[Anchor]) -> Scope:
    """The bounds of a model's pack. Raises RecordError where a record is gone or altered."""
    return Scope(subject, tuple(_champions(subject)), tuple(anchors))


def _champions(subject: Subject) -> Iterable[tuple[str, tuple[str, ...]]]:
    records = subject.records
    makers = {body.model_sha256: body.run_id for _, body in bodies(subject.entries, ModelRegistered)}
    deciders = {
        body.model_sha256: body.run_id
        for _, body in bodies(subject.entries, PromotionIntended)
        if body.run_id and body.decision_sha256
    }
    seen, decided = {subject.model.model_sha256}, subject.decided
    while True:
        inputs = records.json(decided, GATE_INPUTS)
        held_against = inputs.get("champion_report") if isinstance(inputs, dict) else None
        sha256 = held_against["model"]["sha256"] if held_against else None
        if sha256 is None or sha256 in seen or sha256 not in makers:
            return
        seen.add(sha256)
        runs = {makers[sha256], deciders.get(sha256, makers[sha256])}
        yield sha256, tuple(sorted(run for run in runs if records.run_path(run).is_file()))
        following = deciders.get(sha256, makers[sha256])
        if not records.run_path(following).is_file():
            return
        decided = records.run(following)


def _signers(envelopes: Iterable[Envelope]) -> set[str]:
    return {str(one.get("keyid")) for envelope in envelopes for one in envelope.get("signatures", ())}
