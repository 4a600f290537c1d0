"""What the auditor's commands print of models and data, in 80 columns; `--json` has whole digests, and all the rest."""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from flows.audit.champion import ChampionOf, Champions, Reign
    from flows.audit.clips import SplitCount
    from flows.audit.disjoint import Disjoint
    from flows.audit.impact import Affected, Impact
    from flows.audit.models import Approval, DecisionFacts, Flag
    from flows.audit.trace import StageTrace, Trace

WIDTH, SHOWN = 80, 20
Row = tuple[str, str]
_FACTS = ("python", "torch", "cuda", "platform", "processor", "cores", "threads", "accelerators", "gpu_driver", "image")
_BEGAN = re.compile(r"(\d{8}-\d{6})-")
_LIBRARIES = ("packages", "requirements/lock.txt", "requirements/torch.txt")


def show(parts: Iterable[RenderableType], at: str | None) -> None:
    """Prints an answer; one about the past says so first."""
    console = Console(highlight=False, width=WIDTH)
    if at is not None:
        console.print(f"[dim]as of {when(at)}[/]")
    console.print(Group(*parts))


def when(time: str) -> str:
    """A time of the ledger to the second, in UTC."""
    return f"{time[:10]} {time[11:19]}Z"


def short(digest: str | None) -> str:
    """As much of a digest as names a thing here."""
    return "none" if digest is None else digest[:16]


def run_name(run_id: str | None) -> str:
    """The date and time that a run's id begins with, which find it too; an id of another form whole."""
    if run_id is None:
        return "none"
    began = _BEGAN.match(run_id)
    return run_id if began is None else began[1]


def facts(rows: Iterable[Row]) -> Table:
    """Names and values, folded at the edge."""
    table = Table(box=None, show_header=False, pad_edge=False, width=WIDTH)
    table.add_column(no_wrap=True, width=12)
    table.add_column(overflow="fold", ratio=1)
    for name, value in rows:
        table.add_row(name, value)
    return table


def listing(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], fold: int = -1) -> Table:
    """A table whose columns keep their widths, but for the one numbered `fold`."""
    table = Table(box=None, header_style="bold", pad_edge=False, title=escape(title), title_justify="left", width=WIDTH)
    for number, column in enumerate(columns):
        folds = number == fold % len(columns)
        table.add_column(column, no_wrap=not folds, overflow="fold", ratio=1 if folds else None)
    for row in rows:
        table.add_row(*row)
    return table


def counted(n: int, noun: str) -> str:
    """A number of things."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def champion_parts(answer: "Champions", history: bool) -> Iterator[RenderableType]:
    """Who serves under every name; with `history`, who did before."""
    if not answer.models:
        yield "no model was registered yet: worldmodel run"
    for one in answer.models:
        if one.now is None:
            yield f"[bold]{one.name}[/] has no champion"
        else:
            yield f"[bold]{one.name}[/] version {one.now.version} is champion since {when(one.now.since)}"
            yield facts(_reign(one.now))
        yield from _warnings(one)
        if history and one.reigns:
            yield ""
            yield listing(
                "champions so far", ("version", "from (UTC)", "to", "cause", "by", "run"), _history(one), fold=4
            )


def _reign(reign: "Reign") -> Iterator[Row]:
    yield "model", short(reign.model_sha256)
    yield "moved by", escape(f"{reign.actor}, cause {reign.cause}: {reign.reason or 'no reason given'}")
    yield "before", "no champion" if reign.from_version is None else f"version {reign.from_version}"
    yield "run", reign.run_id or "none"
    yield "decision", decision_words(reign.decision, reign.decision_sha256)
    yield "approvals", _approvals(reign.approvals)
    yield "ledger", f"entries {reign.intended} (meant) and {reign.completed} (done, seen by {reign.completed_by})"
    yield from _flags(reign.flags)


def _flags(found: "Iterable[Flag]") -> Iterator[Row]:
    """What a model was flagged for; a recall that was taken back is history."""
    for flag in found:
        seen = ", ".join(f"{counted(n, 'clip')} in {split}" for split, n in flag.splits.items())
        if flag.stands:
            yield "[red]flagged[/]", escape(f"{when(flag.time)}: {flag.recalled} is recalled, and it saw {seen}")
        else:
            text = f"flagged {when(flag.time)}: it saw {seen} of {flag.recalled}, whose recall was taken back since"
            yield "history", escape(text)


def decision_words(decision: "DecisionFacts | None", sha256: str | None = None) -> str:
    """A decision in one line; `sha256` names one that the records do not have."""
    if decision is None:
        return "none" if sha256 is None else f"{short(sha256)}, not among the records yet"
    text = f"{decision.verdict}, {counted(decision.n_rules, 'rule')}, {short(decision.sha256)}: {decision.summary}"
    return escape(text)


def _approvals(found: "tuple[Approval, ...]") -> str:
    if not found:
        return "none counted"
    rows = (f"{a.approver} {a.verdict} (entry {a.sequence}, {when(a.time)}): {a.reason}" for a in found)
    return escape("\n".join(rows))


def _warnings(one: "ChampionOf") -> Iterator[RenderableType]:
    for intent in one.open_intents:
        yield (
            f"[yellow]open[/] entry {intent.sequence}, {when(intent.time)}: {escape(intent.actor)} meant version "
            f"{intent.version} to be champion, and it is not known to be done"
        )
    for seen in one.observed:
        yield f"[yellow]warning[/] {when(seen.time)}: {escape(seen.sentence)}"


def _history(one: "ChampionOf") -> Iterator[tuple[str, ...]]:
    for reign in one.reigns:
        since, until = (time and f"{time[:10]} {time[11:16]}" for time in (reign.since, reign.until))
        yield reign.version, since or "", until or "now", reign.cause, escape(reign.actor), run_name(reign.run_id)


def trace_parts(answer: "Trace") -> Iterator[RenderableType]:
    """What a model was made from."""
    yield f"[bold]{answer.model}[/], {short(answer.model.model_sha256)}"
    yield facts(_traced(answer))
    for one in answer.prepared:
        sources = ", ".join(f"{source.name}@{short(source.digest or 'generated')}" for source in one.sources)
        yield f"\n[bold]data[/] prepare {short(one.output)} of {escape(sources)}"
        yield _counts(one.counts)
        for split, logs in (one.logs or {}).items():
            yield facts([(f"logs {split}", escape(", ".join(logs)))])
        if one.held_out_by_frames:
            yield facts([("by frames", escape(f"only frames are held out: {', '.join(one.held_out_by_frames)}"))])
    yield ""
    columns = ("stage", "output", "made by", "seed", "params")
    yield listing("made by", columns, [_stage(step) for step in answer.stages])
    for found in answer.surroundings:
        yield f"\n[bold]surroundings[/] {short(found.sha256)} of {counted(len(found.stages), 'stage')}"
        known = {name: found.facts[name] for name in _FACTS if name in found.facts}
        known |= {name.rpartition("/")[2]: short(found.facts[name]) for name in _LIBRARIES if name in found.facts}
        yield facts((name[:12], escape(value)) for name, value in known.items())


def _traced(answer: "Trace") -> Iterator[Row]:
    for run in answer.runs:
        dirty = ", uncommitted changes" if run.dirty else ""
        yield "run", escape(f"{run.run_id} by {run.actor}, {run.status}, flow run {run.flow_run or 'none'}")
        yield "  code", f"{run.snapshot[:16]}, tree {run.tree[:16]}{dirty}"
    for part, chain in answer.teachers.items():
        yield part, escape(" -> ".join(f"{one.stage} {short(one.output)}" for one in chain))
    for network in answer.networks:
        origin = f"made by run {network.made_by}" if network.made_by else "made by no recorded run"
        yield "pretrained", f"{short(network.sha256)} in {network.stage}, {origin}"
    for part, refs in answer.shared_parts.items():
        yield "shared", escape(f"{part} with {', '.join(map(str, refs))}")
    yield "decision", decision_words(answer.decision)
    for passed in answer.passed_by:
        done = "not completed" if passed.completed_at is None else f"done {when(passed.completed_at)}"
        yield "let through", escape(f"by {passed.actor}, cause {passed.cause}, {done}: {passed.reason}")
    if not answer.passed_by:
        yield "let through", "by nobody: it was never meant to be champion"
    yield "approvals", _approvals(answer.approvals)
    yield from _flags(answer.flags)


def _counts(counts: "Iterable[SplitCount]") -> Table:
    rows = ((escape(c.source), c.split, str(c.clips), str(c.logs)) for c in counts)
    return listing("", ("source", "split", "clips", "logs"), rows, fold=0)


def _stage(step: "StageTrace") -> tuple[str, ...]:
    maker = "not recorded" if step.made_by is None else run_name(step.made_by)
    params = ", ".join(f"{key}: {value}" for key, value in step.params.items())
    if len(params) > 60:
        params = f"{params[:57]}..."
    return step.stage.removeprefix("worldgen_"), step.output[:8], maker, str(step.seed), escape(params)


def impact_parts(answer: "Impact") -> Iterator[RenderableType]:
    """Which models saw something."""
    name, at, digest = answer.key.rpartition("@") if answer.kind == "source" else ("", "", answer.key)
    yield f"[bold]{answer.kind} {escape(name + at + (short(digest) if len(digest) == 64 else digest))}[/]"
    for recall in answer.recalls[:SHOWN]:
        yield escape(
            f"recalled: {recall.what} {recall.id} since {when(recall.time)} by {recall.actor}: {recall.reason}"
        )
    if answer.recalls[SHOWN:]:
        yield f"and {counted(len(answer.recalls) - SHOWN, 'recall')} more"
    if not answer.models:
        yield "no model saw it"
        return
    n, serving = len(answer.models), sum(one.champion for one in answer.models)
    ours = f"{serving or 'none'} of them champion" if n > 1 else "champion" if serving else "not champion"
    yield f"{counted(n, 'model')} saw it, {ours}\n"
    for one in answer.models:
        name = ", ".join(one.versions) or f"{short(one.model_sha256)}, never registered"
        yield f"[bold]{escape(name)}[/]{', [red]champion now[/]' if one.champion else ''}"
        yield facts(_affected(one))


def _affected(one: "Affected") -> Iterator[Row]:
    seen = ", ".join(f"{counted(n, 'clip')} in {split}" for split, n in one.splits.items())
    yield "  saw", seen or "it through its weights"
    yield "  way", escape(" -> ".join(one.way))
    for span in one.served:
        yield "  served", f"{when(span.since)} until {'now' if span.until is None else when(span.until)}"


def disjoint_parts(answer: "Disjoint") -> Iterator[RenderableType]:
    """Whether a model was measured on unseen logs."""
    colour = {"disjoint": "green", "shared": "red"}.get(answer.verdict, "yellow")
    yield f"[bold]{answer.model}[/]: [{colour}]{answer.verdict}[/]"
    yield escape(answer.sentence)
    for one in answer.data:
        yield f"\nprepare {short(one.output)}, for {' and '.join(one.used_for)}"
        yield _counts(one.counts)
    if answer.shared:
        rows = [(log.trained, log.measured, escape(log.source), escape(log.log_id)) for log in answer.shared[:SHOWN]]
        yield ""
        title = f"{counted(len(answer.shared), 'log')} on both sides"
        yield listing(title, ("read in", "measured in", "source", "log"), rows)
    for log, n in answer.held_out_by_frames.items():
        yield escape(f"held out by frames only: {log}, {counted(n, 'clip')}; measured apart from unseen logs")
    for sha256 in answer.unknown_networks:
        yield f"[yellow]not known[/]: what the pretrained weights {short(sha256)} saw; no recorded run made them"
