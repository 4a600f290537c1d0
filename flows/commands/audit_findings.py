"""What the auditor's commands print of findings: validations, differences, refused candidates, tombstones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from flows.commands.audit_tables import SHOWN, WIDTH, Row, counted, decision_words, facts, listing, short, when

if TYPE_CHECKING:
    from flows.audit.differences import Differences
    from flows.audit.keys import Change
    from flows.audit.models import RuleFacts
    from flows.audit.rejected import Rejected
    from flows.audit.tombstones import Tombstones
    from flows.audit.validations import Validation, Validations


def validations_parts(answer: "Validations") -> Iterator[RenderableType]:
    """What validated some data."""
    if not answer.validations and not answer.without:
        yield "nothing that was prepared is called that, so nothing was validated"
    for one in answer.validations:
        yield from _validation(one)
    for run in answer.without:
        yield f"[yellow]no verdict[/] on prepare {short(run.prepared)} in run {run.run_id} ({run.status})"
    if answer.overridden:
        yield f"[red]passed the gate with unfit data[/]: {', '.join(answer.overridden)}"
    else:
        yield "no decision passed with unfit data; there is no way to override a verdict"


def _validation(one: "Validation") -> Iterator[RenderableType]:
    readable = "[green]fit[/]" if one.fit else "[red]unfit[/]"
    verdict = "[yellow]not readable here[/]" if one.fit is None else readable
    met = sum(found.success for found in one.expectations)
    version = "not recorded" if one.suite_version is None else str(one.suite_version)
    yield f"[bold]prepare {short(one.prepared)}[/]: {verdict}, {met} of {len(one.expectations)} expectations met"
    yield facts(
        [
            ("validation", f"{short(one.output)}, {one.schema_version}, suite version {version}"),
            ("clips", f"{one.n_clips} in the manifest, {one.n_decoded} decoded"),
            ("limits", escape(", ".join(f"{key}: {value}" for key, value in one.limits.items()) or "none")),
            *(("error", escape(f"{suite}: {error}")) for suite, error in one.errors.items()),
        ]
    )
    yield from _expectations(one)
    for run in one.runs:
        rule = "no decision" if run.rule is None else f"{run.rule.verdict}: {run.rule.sentence}"
        yield escape(f"run {run.run_id} ({run.outcome}, {run.status}); the gate's rule: {rule}")
    yield ""


def _expectations(one: "Validation") -> Iterator[RenderableType]:
    """Those that were not met, else all: a row for each check, with the columns that it was about."""
    missed = [found for found in one.expectations if not found.success]
    columns: dict[tuple[str, str, str, str], list[str]] = {}
    for found in missed or one.expectations:
        result = "met" if found.success else "[red]not met[/]"
        columns.setdefault((found.suite, result, str(found.unexpected), found.check), []).append(found.column)
    rows = [(*row[:3], f"{escape(row[3])}: {escape(', '.join(of))}") for row, of in columns.items()]
    if rows:
        yield listing("", ("suite", "result", "unexpected", "check: columns"), rows[:SHOWN])
    if rows[SHOWN:]:
        yield f"and {counted(len(rows) - SHOWN, 'check')} more: --json"


def diff_parts(answer: "Differences") -> Iterator[RenderableType]:
    """What differs between two models or runs."""
    if answer.same:
        thing = (
            f"run, {answer.a.run_id}" if answer.a.model is None else f"model, {answer.a.model} of run {answer.a.run_id}"
        )
        yield escape(f"A and B are the same {thing}: nothing differs")
        return
    for name, side in (("A", answer.a), ("B", answer.b)):
        model = "no model" if side.model is None else str(side.model)
        dirty = ", uncommitted changes" if side.dirty else ""
        yield escape(f"{name}  {model}, run {side.run_id} ({side.status}), code {side.snapshot[:12]}{dirty}")
    yield ""
    yield facts(_data_rows(answer))
    for title, found in (
        ("params", answer.params),
        ("surroundings", answer.environment),
        ("packages", answer.packages),
        ("weights", answer.weights),
        ("rules of the gate", answer.rules),
    ):
        yield from _change_table(title, found)
    yield from _metric_table(answer)
    for name, decision in zip("AB", answer.decisions, strict=True):
        yield facts([(f"decision {name}", decision_words(decision))])


def _data_rows(answer: "Differences") -> Iterator[Row]:
    data, code = answer.data, answer.code
    yield "clips", f"{data.n_clips[0]} -> {data.n_clips[1]}"
    for change in data.sources:
        yield "source", escape(f"{change.key}: {_value(change.before)} -> {_value(change.after)}")
    for what, logs in (("added", data.added), ("removed", data.removed)):
        if logs:
            named = [f"{log} ({split})" for log, split in list(logs.items())[:SHOWN]]
            more = f", and {len(logs) - SHOWN} more" if len(logs) > SHOWN else ""
            yield f"logs {what}", escape(f"{len(logs)}: {', '.join(named)}{more}")
    for log, (before, after) in list(data.moved.items())[:SHOWN]:
        yield "log moved", escape(f"{log}: {before} -> {after}")
    if not (data.sources or data.added or data.removed or data.moved):
        yield "data", "the same sources and logs in the same splits"
    if code.same:
        yield "code", "the same tree"
    elif code.files is None:
        yield "code", escape(f"other trees; {code.why}")
    for file in (code.files or ())[:SHOWN]:
        lines = "not text" if file.added is None else f"+{file.added} -{file.removed}"
        yield "code", escape(f"{file.path} {lines}")
    if len(code.files or ()) > SHOWN:
        yield "code", f"and {counted(len(code.files or ()) - SHOWN, 'file')} more: --json"


def _change_table(title: str, found: "tuple[Change, ...]") -> Iterator[RenderableType]:
    if not found:
        return
    rows = [(escape(c.key), escape(_value(c.before)), escape(_value(c.after))) for c in found[:SHOWN]]
    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left", width=WIDTH)
    for column in ("key", "A", "B"):
        table.add_column(column, overflow="fold", ratio=2 if column == "key" else 1)
    for row in rows:
        table.add_row(*row)
    yield ""
    yield table
    if found[SHOWN:]:
        yield f"and {len(found) - SHOWN} more: --json"


def _metric_table(answer: "Differences") -> Iterator[RenderableType]:
    metrics = answer.metrics
    yield ""
    yield "numbers compare" if metrics.comparable else f"[yellow]numbers do not compare[/]: {escape(metrics.why or '')}"
    if metrics.values:
        rows = [
            (escape(f"{m.key}, {m.unit}"), _number(m.before), _number(m.after), _number(m.difference, "+"))
            for m in metrics.values
        ]
        yield listing("", ("metric", "A", "B", "B - A"), rows, fold=0)


def _number(value: float | None, sign: str = "-") -> str:
    return "NaN" if value is None else f"{value:{sign}.4g}"


def _value(value: Any) -> str:
    text = "-" if value is None else str(value)
    return short(text) if len(text) in (40, 64) and set(text) <= set("0123456789abcdef") else text


def rejected_parts(answer: "Rejected") -> Iterator[RenderableType]:
    """Whom the gate refused, and how its limits changed."""
    total = sum(answer.decided.values())
    said = ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in answer.decided.items()) or "none"
    yield f"{counted(total, 'decision')}: {said}"
    for one in answer.refused:
        model = f"{one.name} version {one.version}" if one.version else short(one.model_sha256)
        yield f"\n[bold]{escape(model)}[/], run {one.run_id}, {when(one.time)}"
        yield listing("", ("verdict", "rule"), [_rule(rule) for rule in one.rules])
    yield ""
    if not answer.limits:
        yield "the limits never changed between decisions"
    for changed in answer.limits:
        yield f"limits of {escape(changed.profile)} changed in run {changed.run_id}, {when(changed.time)}"
        yield facts(("", escape(f"{c.key}: {_value(c.before)} -> {_value(c.after)}")) for c in changed.changes)


def _rule(rule: "RuleFacts") -> tuple[str, str]:
    return rule.verdict.replace("_", " "), f"[bold]{escape(rule.id)}[/]\n{escape(rule.sentence)}"


def tombstones_parts(answer: "Tombstones") -> Iterator[RenderableType]:
    """What retention deleted."""
    if not answer.tombstones:
        yield "nothing was deleted"
    for one in answer.tombstones:
        kinds = ", ".join(counted(n, kind) for kind, n in one.counts.items())
        yield f"[bold]{when(one.time)}[/] {escape(one.actor)}, entry {one.sequence}: {one.bytes / 2**20:.1f} MiB"
        yield facts([("rule", escape(one.rule)), ("deleted", escape(kinds or "nothing"))])
        for item in one.items[:SHOWN]:
            yield facts([(f"  {item.kind}"[:12], escape(f"{item.path} {short(item.digest) if item.digest else ''}"))])
        if one.items[SHOWN:]:
            yield f"  and {len(one.items) - SHOWN} more: --json"
