"""What a person reads first in a pack: `index.html`, which loads nothing, and `README.txt`, on how to verify."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evaluation.generation_report import REPEAT, STUDENT
from evaluation.page.figures import Figures, count, with_unit, words
from flows.audit.cards.markdown import surroundings, visible
from flows.audit.cards.measures import RECONSTRUCTION
from flows.audit.cards.schema import Measure, ModelCard
from flows.audit.cards.words import NOT_FOR, USERS
from flows.ledger.entry import Entry

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
_LISTED = ("cards/", "runs/", "code/", "keys/", "weights/", "ledger.ndjson", "head.json", "anchors.ndjson")


@dataclass(frozen=True)
class Contents:
    """What the pages tell of: the card, every other file with its size, the runs, and the ledger as the pack has it."""

    card: ModelCard
    files: Mapping[str, int]
    runs: Sequence[str]
    entries: Sequence[Entry]

    @property
    def title(self) -> str:
        """`NAME version N`."""
        return f"{self.card.model.name} version {self.card.model.version}"

    @property
    def bodies(self) -> int:
        """Entries whose body is here."""
        return sum(entry.body is not None for entry in self.entries)

    @property
    def listed(self) -> list[tuple[str, int]]:
        """The files that have a name of their own, with their sizes."""
        return [(name, size) for name, size in sorted(self.files.items()) if name.startswith(_LISTED)]


class Line(NamedTuple):
    """A row of a table of numbers."""

    metric: str
    better: str
    value: str
    interval: str
    clips: str
    baselines: str


class Headline(NamedTuple):
    """One of the few things that are said large."""

    label: str
    value: str
    note: str
    style: str = ""


def readme(contents: Contents) -> str:
    """How to verify the pack, with this platform and without."""
    return _environment(autoescape=False).get_template("README.txt").render(_facts(contents))


def page(contents: Contents) -> str:
    """The whole page. All data in it is escaped."""
    style = (_TEMPLATES / "pack.css").read_text("utf-8")
    sha256 = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{sha256}'; base-uri 'none'; form-action 'none'"
    return (
        _environment(autoescape=True)
        .get_template("pack.html")
        .render(
            **_facts(contents),
            style=style,
            policy=policy,
            headlines=_headlines(contents.card),
            groups=_groups(contents.card),
            surroundings=surroundings(contents.card.training),
            users=USERS,
            not_for=NOT_FOR,
        )
    )


def _environment(*, autoescape: bool) -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    made.filters |= {"words": words, "splits": _splits, "count": count, "moment": _moment, "size": _size}
    return made


def _facts(contents: Contents) -> dict[str, object]:
    return {"pack": contents, "card": contents.card, "key": contents.card.run.signed_by}


def _headlines(card: ModelCard) -> list[Headline]:
    found = [Headline("Serves", "champion" if card.standing.champion else "no", _reign(card))]
    if card.decision is not None:
        passed = sum(rule.verdict == "pass" for rule in card.decision.rules)
        note, good = f"{passed} of {count(len(card.decision.rules), 'rule')} pass", card.decision.verdict != "refuse"
        found.append(Headline("The gate says", words(card.decision.verdict), note, "good" if good else "bad"))
    if card.data is not None:
        clips = sum(n for source in card.data.sources for n in source.clips.values())
        note = f"of {count(len(card.data.sources), 'source')}; {_validation(card)}"
        found.append(Headline("Data", count(clips, "clip"), note))
        if card.data.recalled:
            note = "recalled since, and seen by this model"
            found.append(Headline("Recalled data", str(len(card.data.recalled)), note, "bad"))
    leading = next((m for m in (card.evaluation.measures if card.evaluation else ()) if _leads(m)), None)
    if leading is not None:
        figures = Figures.of([leading.value])
        interval = figures.interval(leading.ci95)
        told = (leading.source, leading.split, count(leading.n_clips, "clip"), interval)
        note = ", ".join(filter(None, told))
        found.append(Headline(with_unit(leading.metric, leading.unit), figures.number(leading.value), note))
    return found


def _reign(card: ModelCard) -> str:
    """Since when, and until when, it is or was champion."""
    if card.standing.since is None:
        return "never was champion"
    until = f" to {_moment(card.standing.until)}" if card.standing.until is not None else ""
    return f"{'since' if not until else 'champion from'} {_moment(card.standing.since)}{until}"


def _leads(measure: Measure) -> bool:
    """Whether a number is of the model itself, over whole images of logs that it had not seen."""
    return measure.of in (RECONSTRUCTION, STUDENT) and measure.value is not None and not measure.same_log


def _validation(card: ModelCard) -> str:
    checked = card.data.validation if card.data is not None else None
    return "no verdict is recorded" if checked is None else "found fit" if checked.fit else "found unfit"


def _groups(card: ModelCard) -> list[tuple[str, list[Line]]]:
    """Tables of numbers: the model's own and, of generation, what it is held against."""
    found: dict[str, list[Measure]] = {}
    measured = card.evaluation.measures if card.evaluation else ()
    shown = (RECONSTRUCTION, STUDENT, REPEAT)
    for one in sorted((one for one in measured if one.of in shown), key=lambda one: shown.index(one.of)):
        shared = ", same logs as training" if one.same_log else ""
        found.setdefault(f"{one.source}, {one.split}{shared}: {words(one.of)}", []).append(one)
    return [(title, [_line(one) for one in measures]) for title, measures in found.items()]


def _line(one: Measure) -> Line:
    figures = Figures.of([one.value, *one.baselines.values()])
    region = "" if one.region == "all" else f", {one.region}"
    against = f", against {one.n_reference_clips}" if one.n_reference_clips else ""
    return Line(
        metric=f"{with_unit(one.metric, one.unit)}{region}",
        better="↑" if one.direction == "up" else "↓",
        value=figures.number(one.value),
        interval=figures.interval(one.ci95) or one.note or "none",
        clips=f"{one.n_clips} / {one.n_logs}{against}",
        baselines="; ".join(f"{words(name)} {figures.number(value)}" for name, value in one.baselines.items()),
    )


def _splits(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {split}" for split, n in counts.items()) or "none"


def _moment(time: str) -> str:
    """A time of a record to the second, for people."""
    return f"{time[:10]} {time[11:19]} UTC" if len(time) >= 19 else time


def _size(n: int) -> str:
    return f"{n:,} B" if n < 10_000 else f"{n / 1024:,.0f} KiB" if n < 10_000_000 else f"{n / 2**20:,.0f} MiB"
