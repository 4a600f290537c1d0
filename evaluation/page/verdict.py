"""The gate's decision and the comparison with the champion, as a page shows them."""

from dataclasses import dataclass

from evaluation.comparison import Comparison, Difference
from evaluation.decision import Decision, Rule
from evaluation.page.figures import Figures, words
from evaluation.page.tables import Cell, Pair, Row, Table, pair_rows
from evaluation.page.whiskers import Axis, Whisker, ends

_VERDICTS = {
    "promote": ("promoted", "good"),
    "refuse": ("refused", "bad"),
    "already_champion": ("already the champion", "good"),
}
_MARKS = {"pass": "good", "fail": "bad", "missing": "bad", "not_applicable": "unsure"}


@dataclass(frozen=True)
class RuleLine:
    """One rule: its verdict in words with its style, its id, why, and its number beside the limit."""

    verdict: str
    style: str
    id: str
    sentence: str
    whisker: Whisker | None


@dataclass(frozen=True)
class Shown:
    """The verdict as a badge, in a sentence, and rule by rule: those against it first."""

    badge: str
    style: str
    summary: str
    against: tuple[RuleLine, ...]
    passed: tuple[RuleLine, ...]


def shown_decision(decision: Decision | None) -> Shown:
    """A decision; or that there is none yet."""
    if decision is None:
        return Shown("not judged", "unsure", "The gate has not judged this report.", (), ())
    badge, style = _VERDICTS[decision.verdict]
    lines = [RuleLine(words(r.verdict), _MARKS[r.verdict], r.id, r.sentence, _whisker(r)) for r in decision.rules]
    passed = tuple(line for line in lines if line.style == "good")
    return Shown(badge, style, decision.summary, tuple(line for line in lines if line.style != "good"), passed)


def _whisker(rule: Rule) -> Whisker | None:
    if not isinstance(rule.limit, float) or not isinstance(rule.observed, float):
        return None
    axis = Axis.over([rule.limit, rule.observed, *ends(rule.ci95)])
    return axis.whisker(rule.observed, rule.ci95, {"limit": rule.limit})


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Differences over all clips, then those over slices."""
    parts = {
        "Challenger less champion, on the same clips": [d for d in comparison.differences if d.slice is None],
        "Challenger less champion, by slice": [d for d in comparison.differences if d.slice is not None],
    }
    left_out = tuple(f"Not compared: {what}: {why}." for what, why in sorted(comparison.left_out.items()))
    heads = ("metric", "difference", "verdict", "challenger", "champion")
    tables = [
        Table(title=title, heads=heads, rows=_rows(found), notes=_notes(found))
        for title, found in parts.items()
        if found
    ]
    return [*tables, *([Table("Left out of the comparison", (), (), notes=left_out)] if left_out else [])]


def _rows(differences: list[Difference]) -> tuple[Row, ...]:
    return pair_rows([_pair(difference) for difference in differences])


def _pair(found: Difference) -> Pair:
    figures = Figures.of([found.challenger, found.champion])
    where = [found.method and words(found.method), f"{found.source}, {found.split}", f"{found.n_clips} clips"]
    region = "" if found.region == "all" else f", {found.region}"
    group = "" if found.slice is None else f"{words(found.slice).replace('=', ': ', 1)}, "
    return Pair(
        name=f"{group}{found.metric}{region}",
        unit=found.unit,
        direction=found.direction,
        difference=found.difference,
        ci95=found.ci95,
        note=" · ".join(part for part in where if part),
        cells=(Cell(figures.number(found.challenger)), Cell(figures.number(found.champion))),
    )


def _notes(differences: list[Difference]) -> tuple[str, ...]:
    several = max(difference.corrected_for for difference in differences)
    why = dict.fromkeys(d.no_interval for d in differences if d.no_interval)
    corrected = f"Intervals hold for all {several} slices at once." if several > 1 else ""
    return (*([corrected] if corrected else []), *(f"No interval: {reason}." for reason in why))
