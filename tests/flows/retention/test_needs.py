"""Which objects are needed: in texts, in listings, and, whatever runs there are, all that a kept lock names."""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.base import Record
from flows.git import git
from flows.ledger.bodies import KIND_OF, ModelRegistered, PromotionCompleted, PromotionIntended
from flows.ledger.entry import Entry, next_entry
from flows.lineage.records import Records
from flows.retention.needs import Listings, named
from flows.retention.plan import make_plan
from flows.retention.rule import Place, Rule
from tests.flows.retention.states import AN_HOUR, put, put_object

A, B = "a" * 32, "b" * 32


def test_every_md5_in_a_text_is_a_name_and_no_part_of_a_longer_digest_is() -> None:
    assert named(f"md5: {A}.dir\n- md5: {B}\n") == {f"{A}.dir", B}
    assert named("c" * 64 + " " + "d" * 33 + " x" + "e" * 32) == set()
    assert named(f"md5: '{A}'\nother: {{md5: {B}}}") == {A, B}


def test_a_listing_names_its_files_and_one_that_is_gone_counts_unless_it_has_a_tombstone(tmp_path: Path) -> None:
    name = put_object(tmp_path, json.dumps([{"md5": A, "relpath": "a"}]).encode(), ".dir")
    assert Listings(tmp_path, lambda name: False).closure([name, B]) == {name, A, B}
    gone = Listings(tmp_path, lambda name: name == f"{A}.dir")
    assert gone.closure([f"{A}.dir", f"{B}.dir"]) == {f"{A}.dir", f"{B}.dir"}
    assert gone.unreadable == {f"{B}.dir"}


@dataclass(frozen=True)
class Told:
    """A run to make: its outputs by content, what the ledger says of its model, and how long ago it ended."""

    outputs: tuple[tuple[int, ...], ...]
    word: str
    days: float
    places: tuple[str, ...]


@dataclass
class Book:
    """Entries, as a ledger would give them."""

    found: list[Entry] = field(default_factory=list)

    def append(self, body: Record) -> None:
        last = self.found[-1] if self.found else None
        kind = KIND_OF[type(body)]
        self.found.append(next_entry(last, "2026-01-01T00:00:00.000000Z", "ann", kind, body.model_dump(mode="json")))

    def entries(self, *, kinds: tuple[str, ...] = ()) -> Iterator[Entry]:
        return (entry for entry in self.found if entry.kind in kinds)


FILES = st.integers(0, 12)
RUNS = st.lists(
    st.builds(
        Told,
        outputs=st.lists(st.lists(FILES, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple),
        word=st.sampled_from(["", "", "registered", "champion", "intended"]),
        days=st.sampled_from([0.0, 1.0, 5.0]),
        places=st.sampled_from([("runs",), ("workspaces",), ("runs", "workspaces")]),
    ),
    max_size=7,
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    git(root, "init", "--quiet")
    return root


def _made(state: Path, book: Book, runs: list[Told], now: float) -> list[set[str]]:
    """Puts runs into a state directory; returns what the lock of each needs."""
    needed = []
    for number, told in enumerate(runs):
        names: set[str] = set()
        outs = []
        for content in told.outputs:
            files = {put_object(state, f"file {n}".encode()) for n in content}
            rows = [{"md5": name, "relpath": name[:4]} for name in sorted(files)]
            listing = put_object(state, json.dumps(rows).encode(), ".dir")
            names |= files | {listing}
            outs.append({"path": "artifacts/x", "md5": listing})
        needed.append(names)
        run_id, key = f"20260101-0000{number:02d}-{number:08x}", f"{number:016x}"
        lock = yaml.safe_dump({"stages": {"x": {"outs": outs}}})
        folders = {"runs": state / "runs" / run_id, "workspaces": state / "workspaces" / key}
        for place in told.places:
            put(folders[place] / "dvc.lock", lock)
        put(state / "workspaces" / key / ".git", "")
        facts = {"profile": "p", "snapshot": "", "dirty": False, "sources": [], "pid": 0, "started_at": 0.0}
        ended = now - told.days * 86400 - number
        more = {"run_id": run_id, "key": key, "status": "refused", "ended_at": ended, "stages": {"x": {}}}
        put(folders["runs"] / "run.json", json.dumps(facts | more))
        _say(book, told.word, str(number), run_id)
    return needed


def _say(book: Book, word: str, version: str, run_id: str) -> None:
    sha256 = hashlib.sha256(version.encode()).hexdigest()
    if word:
        book.append(ModelRegistered(name="m", version=version, model_sha256=sha256, run_id=run_id, parts={}))
    if word in ("champion", "intended"):
        before = {"from_version": None, "from_sha256": None, "cause": "gate", "reason": "r"}
        book.append(PromotionIntended(promotion=version, name="m", version=version, model_sha256=sha256, **before))
    if word == "champion":
        book.append(PromotionCompleted(promotion=version, name="m", by="promoter"))


def _kept(runs: list[Told], newest: int, days: float) -> set[int]:
    """The runs that have to be kept, as it is said in words."""
    by_age = sorted(range(len(runs)), key=lambda n: runs[n].days * 86400 + n)
    found = set(by_age[:newest]) | {n for n in by_age if runs[n].days < days}
    found |= {n for n, told in enumerate(runs) if told.word in ("champion", "intended")}
    registered = [n for n, told in enumerate(runs) if told.word]
    return found | set(registered[-1:])


@settings(max_examples=40, deadline=None)
@given(runs=RUNS, newest=st.integers(0, 4), days=st.sampled_from([0.0, 0.5, 3.0]), drop=st.booleans())
def test_whatever_runs_there_are_all_that_a_kept_lock_names_stays_and_the_rest_goes(
    checkout: Path, runs: list[Told], newest: int, days: float, drop: bool
) -> None:
    with tempfile.TemporaryDirectory(dir=checkout) as folder:
        state, book, now = Path(folder).resolve(), Book(), time.time()
        needed = _made(state, book, runs, now)
        rule = Rule(newest, days, drop_refused=drop, now=now)
        late = Rule(newest, days + AN_HOUR / 86400 if days else 0.0, drop_refused=drop, now=now + AN_HOUR)
        plan = make_plan(Place(checkout, state, book, Records(state / "records")), late)  # type: ignore[arg-type]
        kept = _kept(runs, rule.newest, rule.days)
        stay = set[str]().union(*(needed[n] for n in kept))
        if not drop:
            stay |= set[str]().union(*(needed[n] for n, told in enumerate(runs) if told.word))
        gone = {item.digest for item in plan.items if item.kind == "object"}
        assert not gone & stay
        assert gone == set[str]().union(*needed) - stay
        workspaces = {int(Path(item.path).name, 16) for item in plan.items if item.kind == "workspace"}
        assert workspaces == set(range(len(runs))) - kept
