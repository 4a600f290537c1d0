"""Whether the ledger's entries are those that were written: one pass over them, then over what stood out.

Each entry names the hash of the one before, so a change shows, unless all that follows was written anew. Signed heads
(anchors) show that, and that the end was cut off. What was added after the last of them rests on the chain alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from evaluation.base import fingerprint
from flows.audit.finding import Finding
from flows.ledger.bodies import KIND_OF, LedgerRestored
from flows.ledger.entry import GENESIS, Entry, entry_hash
from flows.ledger.reading import body_of
from flows.signing.statements import HeadFacts

Head = HeadFacts
_KEPT = 5000  # entries that stood out; a ledger with more of them is beyond telling apart
_TOLD = 100
_TRIED = 200


def check_chain(entries: Iterable[Entry], anchors: Iterable[Head] = (), ledger_id: str | None = None) -> list[Finding]:
    """What does not hold; nothing when all entries are in their places, unchanged, up to every anchor and beyond.

    Args:
        entries: all of them, in the order of the store. A body that is None was left out, and is not checked.
        anchors: heads whose signatures were verified.
        ledger_id: which ledger this is; None: the one that most anchors agree with.

    Codes: `ledger/changed`, `/removed`, `/reordered`, `/inserted`, `/time`; against anchors `/fork` (another entry
    stood there), `/truncated`, `/other-ledger`, `/lost` (cut off by a restore that the ledger itself records).

    Raises:
        LedgerError: an entry that says the ledger was restored is of a newer version.
    """
    heads = list(anchors)
    walk = _Walk({head.sequence for head in heads})
    for entry in entries:
        walk.step(entry)
    everything = [*_out_of_place(walk), *_broken_links(walk), *walk.late, *_against_anchors(walk, heads, ledger_id)]
    found = list({(finding.what, finding.where): finding for finding in reversed(everything)}.values())[::-1]
    if len(found) > _TOLD:
        more = f"{len(found) - _TOLD} more findings like these"
        found = [*found[:_TOLD], Finding(what=found[_TOLD].what, where="ledger", sentence=more)]
    return found


@dataclass
class _Walk:
    """One pass, and what it met.

    Attributes:
        anchored: sequence numbers whose hashes matter later.
        gaps: first and last number of each stretch that was not there.
        unsound: entries whose hash is not theirs, by place.
        links: pairs of neighbours of which the second follows another than the first.
        late: findings about entries that came after their successors, and about times.
        twice: numbers that several entries have.
        restored: entries that say the ledger was restored.
        true: places, by the place where an entry now stands, of those that were moved.
    """

    anchored: set[int]
    last: Entry | None = None
    count: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    unsound: dict[int, Entry] = field(default_factory=dict)
    links: list[tuple[Entry | None, Entry]] = field(default_factory=list)
    late: list[Finding] = field(default_factory=list)
    twice: set[int] = field(default_factory=set)
    restored: list[tuple[str, LedgerRestored]] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)
    true: dict[int, int] = field(default_factory=dict)

    def step(self, entry: Entry) -> None:
        """Takes the next entry."""
        self.count += 1
        expected = self.last.sequence + 1 if self.last else 1
        sound = _is_sound(entry)
        if entry.sequence < expected:
            self._came_late(entry)
            return
        if entry.sequence > expected:
            self.gaps.append((expected, entry.sequence - 1))
        elif entry.previous != (self.last.hash if self.last else GENESIS) and len(self.links) < _KEPT:
            self.links.append((self.last, entry))
        if not sound and len(self.unsound) < _KEPT:
            self.unsound[entry.sequence] = entry
        if sound and self.last and self.last.sequence not in self.unsound and entry.time < self.last.time:
            said = f"its time {entry.time} is before that of the entry before it, {self.last.time}"
            self.late.append(_finding("time", entry.sequence, said))
        if sound and entry.kind == KIND_OF[LedgerRestored] and entry.body is not None:
            self.restored.append((entry.time, body_of(entry, LedgerRestored)))
        if entry.sequence in self.anchored:
            self.hashes[entry.sequence] = entry.hash
        self.last = entry

    def _came_late(self, entry: Entry) -> None:
        number = entry.sequence
        for index, (first, end) in enumerate(self.gaps):
            if first <= number <= end:
                self.gaps[index : index + 1] = [(first, number - 1), (number + 1, end)]
                self.late.append(_finding("reordered", number, "it stands after entries that followed it"))
                return
        self.twice.add(number)
        said = "there are two of this number" if number > 0 else "entries begin at 1"
        self.late.append(_finding("inserted", number, said))

    @property
    def end(self) -> int:
        """The number of the last entry, as it was when it was written."""
        place = self.last.sequence if self.last else 0
        return self.true.get(place, place)


def _is_sound(entry: Entry) -> bool:
    """Whether an entry's hashes are those of its content."""
    return _has_its_body(entry) and _hash_at(entry, entry.sequence) == entry.hash


def _has_its_body(entry: Entry) -> bool:
    """Whether a body, where there is one, is that of the digest; NaN and half a character have none."""
    if entry.body is None:
        return True
    try:
        return fingerprint(entry.body) == entry.body_sha256
    except (ValueError, RecursionError):
        return False


def _hash_at(entry: Entry, sequence: int) -> str | None:
    """The hash of an entry at a place; None where its texts have none."""
    try:
        return entry_hash(sequence, entry.time, entry.actor, entry.kind, entry.body_sha256, entry.previous)
    except ValueError:
        return None


def _out_of_place(walk: _Walk) -> list[Finding]:
    """Entries that were removed, moved or changed, told apart by the number that their hash was made with."""
    walk.true.update(_true_places(walk.unsound))
    found = [_gone(first, end) for first, end in walk.gaps if first <= end]
    if set(walk.true.values()) <= set(walk.true):
        found += [_finding("reordered", at, f"entry {was} stands in its place") for at, was in walk.true.items()]
    else:
        found += _shifted(walk.true)
    said = "its content is not what its hash was made of"
    return [*found, *(_finding("changed", at, said) for at in walk.unsound if at not in walk.true)]


def _true_places(unsound: dict[int, Entry]) -> dict[int, int]:
    """Where entries stood when they were written, for those that did not change but for their number."""
    found: dict[int, int] = {}
    places, failed, offset = list(unsound)[:_TRIED], 0, 0
    for at, entry in unsound.items():
        if not _has_its_body(entry):
            continue
        candidates = [at + offset] if failed >= _TRIED else [at + offset, *range(at - 10, at + 11), *places]
        was = next((n for n in candidates if n != at and _hash_at(entry, n) == entry.hash), None)
        if was is None:
            failed += 1
        else:
            found[at], offset = was, was - at
    return found


def _shifted(true: dict[int, int]) -> list[Finding]:
    """Stretches of entries that all moved by as much: something before them was taken out, or put in."""
    found, before = [], 0
    for at, was in true.items():
        offset = was - at
        if offset > before:
            found.append(_gone(at + before, at + offset - 1))
        elif offset < before:
            said = "the entries after it were numbered anew to make room for it"
            found += [_finding("inserted", n, said) for n in range(at + offset - before, at)]
        before = offset
    return found


def _broken_links(walk: _Walk) -> list[Finding]:
    """Neighbours that do not hang together, though each is what its own hash says."""
    found = []
    for before, entry in walk.links:
        if before is None:
            if entry.sequence not in walk.unsound:
                found.append(_finding("changed", entry.sequence, "it is not the first entry of a ledger"))
        elif not {before.sequence, entry.sequence} & (walk.unsound.keys() | walk.twice):
            said = f"it was written anew: entry {entry.sequence} followed another"
            found.append(_finding("changed", before.sequence, said))
    return found


def _against_anchors(walk: _Walk, heads: list[Head], ledger_id: str | None) -> list[Finding]:
    ours = ledger_id or _likely_id(walk, heads)
    others = [head for head in heads if head.ledger != ours]
    found = _other_ledger(others, ours)
    forks, cut = [], []
    good = 0
    for head in sorted((h for h in heads if h.ledger == ours), key=lambda h: h.sequence):
        there = walk.hashes.get(head.sequence)
        if there == head.hash:
            good = head.sequence
        elif _is_declared(walk, head):
            found.append(_lost(head))
        elif there is not None and head.sequence not in walk.unsound:
            forks.append((good, head))
        elif head.sequence > walk.end:
            cut.append(head)
    if forks:
        after, head = forks[0]
        said = f"it is another than the head signed then ({head.time}): the ledger was written anew after entry {after}"
        found.append(_finding("fork", head.sequence, said))
    if cut:
        said = f"the ledger ends here, but a head of {cut[-1].sequence} entries was signed ({cut[-1].time})"
        found.append(_finding("truncated", walk.end, said))
    return found


def _likely_id(walk: _Walk, heads: list[Head]) -> str:
    """The ledger that anchors agree with in most hashes, else the one that most of them name."""
    votes: dict[str, tuple[int, int]] = {}
    for head in heads:
        agreed, named = votes.get(head.ledger, (0, 0))
        votes[head.ledger] = (agreed + (walk.hashes.get(head.sequence) == head.hash), named + 1)
    return max(sorted(votes), key=lambda name: votes[name], default="")


def _other_ledger(heads: list[Head], ours: str) -> list[Finding]:
    counts: dict[str, int] = {}
    for head in heads:
        counts[head.ledger] = counts.get(head.ledger, 0) + 1
    return [
        Finding(
            what="ledger/other-ledger",
            where=f"ledger {ours}",
            sentence=f"{count} signed heads are of another ledger, {name}",
        )
        for name, count in sorted(counts.items())
    ]


def _is_declared(walk: _Walk, head: Head) -> bool:
    """Whether the ledger says itself that it lost this head when it was restored."""
    return any(
        head.sequence > body.sequence and head.sequence in body.lost and head.time <= time
        for time, body in walk.restored
    )


def _lost(head: Head) -> Finding:
    said = f"a head signed at {head.time} was lost when the ledger was restored from an older backup, as it records"
    return _finding("lost", head.sequence, said)


def _gone(first: int, end: int) -> Finding:
    said = "it is gone" if first == end else f"entries {first} to {end} are gone"
    return _finding("removed", first, said)


def _finding(code: str, sequence: int, sentence: str) -> Finding:
    return Finding(what=f"ledger/{code}", where=f"ledger entry {sequence}", sentence=f"entry {sequence}: {sentence}")
