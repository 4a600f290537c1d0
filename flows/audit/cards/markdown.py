"""A model card as Markdown. Whatever is not the card's own words is escaped: it can make no link, no HTML, no table."""

import re
from collections.abc import Iterable, Iterator, Sequence

from evaluation.page.figures import Figures, count, with_unit, words
from flows.audit.cards import schema
from flows.audit.cards.words import NOT_FOR, USERS

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~!])")
_LINKS = re.compile(r"(?i)(?<=[a-z])://|\bwww\.|@")
_UNSEEN = "\N{REPLACEMENT CHARACTER}"
_PLAIN = re.compile(r"[A-Za-z0-9._:/@+ -]+")


def visible(text: str) -> str:
    """Text without what cannot be seen: control characters, and those that change the direction of writing."""
    return "".join(c if c.isprintable() or c.isspace() else _UNSEEN for c in text)


def escaped(text: object) -> str:
    """Text that reads in Markdown as it stands, in one line."""
    line = " ".join(visible(str(text)).split())
    marked = _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;"))
    return _LINKS.sub(lambda found: found[0].replace("://", r"\://").replace(".", r"\.").replace("@", r"\@"), marked)


def code(text: object) -> str:
    """Text as code, where nothing in it could end the code."""
    return f"`{text}`" if _PLAIN.fullmatch(str(text)) else escaped(text)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; its cells are Markdown already."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def card_markdown(card: schema.ModelCard) -> str:
    """The whole card."""
    sections = (_head, _parts, _data, _training, _evaluation, _not_measured, _decision, _history)
    return "\n".join(line for section in sections for line in section(card)).rstrip() + "\n"


def _head(card: schema.ModelCard) -> Iterator[str]:
    yield f"# {escaped(card.model.name)} version {escaped(card.model.version)}"
    yield ""
    yield f"{escaped(card.standing.sentence)} Made from signed records; as of ledger entry {card.as_of.sequence}"
    yield f"({escaped(card.as_of.time)}, hash {code(card.as_of.hash[:16])})."
    yield ""
    run = card.run
    yield from table(
        ("", ""),
        (
            ("digest of the model", code(card.model.sha256)),
            ("registered", f"{escaped(card.model.registered_at)} by {escaped(card.model.registered_by)}"),
            ("made by", f"run {code(run.run_id)}, started by {escaped(run.actor)}, profile {escaped(run.profile)}"),
            ("code", f"commit {code(run.snapshot)}{', with uncommitted changes in it' if run.dirty else ''}"),
            ("signed with", f"key {code(run.signed_by[:16])}"),
        ),
    )


def _parts(card: schema.ModelCard) -> Iterator[str]:
    yield from ("## What it is, and what it is for", "")
    for part in card.parts:
        yield f"**{escaped(part.title)}** ({code(part.name)}, weights {code(part.sha256[:16])}). {escaped(part.what)}"
        yield ""
        yield from (f"- For {escaped(use)}." for use in part.uses)
        yield from (f"- Limit: {escaped(limit)}." for limit in part.limits)
        yield ""
    yield f"Users: {'; '.join(USERS)}. Out of scope: {'; '.join(NOT_FOR)}."
    yield ""


def _data(card: schema.ModelCard) -> Iterator[str]:
    yield from ("## Data", "")
    if card.data is None:
        yield from ("The run's records hold no prepared data.", "")
        return
    data = card.data
    rows = (
        (
            escaped(one.name),
            escaped(", ".join(one.licences) or "no clip"),
            splits(one.clips),
            splits(one.logs),
            splits(one.frames),
            code(one.digest[:16]) if one.digest else "generated",
        )
        for one in data.sources
    )
    yield from table(("source", "licences", "clips", "logs", "frames", "digest"), rows)
    yield f"Prepared: {count(data.shards, 'shard')}, {data.bytes} bytes, manifest {code(data.manifest_sha256[:16])}."
    shared = ", ".join(data.shared_logs)
    yield f"Logs in more than one split: {escaped(shared)}." if shared else "No log is in more than one split."
    yield f"Left out: {count(len(data.left_out), 'log or clip')}." if data.left_out else "No log was left out."
    yield from (f"- {escaped(one.source)} {escaped(one.id)}: {escaped(one.reason)}" for one in data.left_out)
    yield ""
    yield from _validation(data)


def _validation(data: schema.Data) -> Iterator[str]:
    checked = data.validation
    if checked is None:
        yield "Validation: no verdict is recorded."
    else:
        asked = f"{count(checked.expectations, 'expectation')}, {count(checked.clips_sampled, 'clip')} decoded"
        yield f"Validation: **{'fit' if checked.fit else 'unfit'}** ({asked}, suite {escaped(checked.suite_version)})."
        yield from (f"- {escaped(failure)}" for failure in checked.failures)
    yield ""
    if data.recalled:
        yield "**Recalled since, and seen by this model:**"
        yield ""
        yield from (
            f"- {escaped(one.what)} {code(one.id)} ({splits(one.clips)} clips): {escaped(one.reason)}"
            for one in data.recalled
        )
        yield ""


def _training(card: schema.ModelCard) -> Iterator[str]:
    yield from ("## How it was made", "")
    rows = (
        (
            escaped(one.stage),
            "not applicable" if one.not_applicable else escaped(one.outcome),
            code(one.made_in) if one.made_in else "not recorded",
            "" if one.steps is None else str(one.steps),
            "" if one.seed is None else str(one.seed),
            "not recorded" if one.seconds is None else f"{one.seconds:.1f}",
            code(one.output_sha256[:16]),
        )
        for one in card.training
    )
    yield from table(("stage", "in this run", "computed in run", "steps", "seed", "seconds", "output"), rows)
    for facts, stages in surroundings(card.training):
        described = ", ".join(f"{name} {value}" for name, value in facts.items()) or "not recorded"
        yield f"- {escaped(', '.join(stages))}: {escaped(described)}"
    yield ""


def surroundings(stages: Sequence[schema.Stage]) -> list[tuple[dict[str, str], list[str]]]:
    """What stages were computed in, each with its stages; digests of files are left to the records."""
    found: list[tuple[dict[str, str], list[str]]] = []
    for stage in stages:
        facts = {name: value for name, value in stage.environment.items() if len(value) < 64}
        known = next((names for one, names in found if one == facts), None)
        if known is None:
            found.append((facts, [stage.stage]))
        else:
            known.append(stage.stage)
    return found


def _evaluation(card: schema.ModelCard) -> Iterator[str]:
    yield from ("## What it scores", "")
    found = card.evaluation
    if found is None:
        yield from ("Nothing was measured.", "")
        return
    yield f"Protocol {escaped(found.protocol)}, {count(found.clips, 'clip')}. {escaped(found.summary)}"
    yield ""
    heads = ("source", "of", "metric", "value", "95 % interval", "clips / logs", "baselines")
    yield from table(heads, (_measure(one) for one in found.measures))
    yield f"Intervals: {escaped(found.intervals)}."
    if (speed := found.performance) is not None:
        parts = (("s a generated frame", speed.seconds_per_frame), ("s a clip", speed.seconds_per_clip))
        told = [f"{value:.4g} {unit}" for unit, value in parts if value is not None]
        told.append(f"{speed.peak_memory_mib:.0f} MiB at most")
        yield f"Speed on {escaped(speed.machine)}: {', '.join(told)}."
    yield from (f"- {escaped(one.stage)}: {escaped(one.sentence)}" for one in found.losses)
    yield ""


def _measure(one: schema.Measure) -> tuple[str, ...]:
    figures = Figures.of([one.value, *one.baselines.values()])
    region = "" if one.region == "all" else f", {one.region}"
    better = "higher" if one.direction == "up" else "lower"
    logs = f"{one.n_clips} / {one.n_logs}"
    return (
        escaped(f"{one.source}, {one.split}{' (same logs)' if one.same_log else ''}"),
        escaped(words(one.of)),
        escaped(f"{with_unit(one.metric, one.unit)}{region} ({better} is better)"),
        figures.number(one.value),
        figures.interval(one.ci95) or escaped(one.note) or "none",
        f"{logs}, against {one.n_reference_clips} clips" if one.n_reference_clips else logs,
        escaped("; ".join(f"{words(name)} {figures.number(value)}" for name, value in one.baselines.items())),
    )


def _not_measured(card: schema.ModelCard) -> Iterator[str]:
    yield from ("## What was not measured", "")
    yield from (f"- {escaped(one.what)}: {escaped(one.reason)}" for one in card.not_measured)
    yield ""


def _decision(card: schema.ModelCard) -> Iterator[str]:
    yield from ("## Who let it through", "")
    if card.decision is None:
        yield from ("The gate decided nothing about it.", "")
        return
    yield f"The gate: {escaped(card.decision.summary)}."
    yield ""
    rows = ((escaped(rule.id), escaped(words(rule.verdict)), escaped(rule.sentence)) for rule in card.decision.rules)
    yield from table(("rule", "verdict", "why"), rows)


def _history(card: schema.ModelCard) -> Iterator[str]:
    yield from ("## What the ledger says", "")
    rows = (
        (
            str(one.sequence),
            escaped(one.time),
            escaped(one.actor),
            escaped(one.sentence),
            code(one.key[:16]) if one.key else "",
        )
        for one in card.history
    )
    yield from table(("entry", "time", "who", "what", "key"), rows)


def splits(counts: dict[str, int]) -> str:
    """`12 train, 3 test`."""
    return escaped(", ".join(f"{n} {split}" for split, n in counts.items()) or "none")
