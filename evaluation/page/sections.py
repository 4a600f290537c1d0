"""A page's contents in order: everything that the template writes, and nothing that it would have to compute."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.comparison import Comparison
from evaluation.config import EvaluateConfig
from evaluation.decision import Decision
from evaluation.generation_report import REPEAT, GenerationGroup
from evaluation.metrics.catalogue import PSNR, VIDEO_PSNR
from evaluation.page import generation, reconstruction
from evaluation.page.charts import Chart
from evaluation.page.figures import Figures, count, verdict_of, with_unit, words
from evaluation.page.identity import Facts, identity
from evaluation.page.players import Budget, Player, render_players, video_players
from evaluation.page.published import published_tables
from evaluation.page.tables import Table
from evaluation.page.verdict import Shown, comparison_tables, shown_decision
from evaluation.pictures.films import leading_method
from evaluation.pictures.samples import shown_groups
from evaluation.report import NEAREST, Group, Report
from worldmodel.data.shards import ClipStore

if TYPE_CHECKING:
    from evaluation.suite import Measured

LARGEST_VIDEOS_BYTES = 3_000_000


@dataclass(frozen=True)
class Headline:
    """A number to see first, and how it compares."""

    label: str
    value: str
    note: str
    style: str


@dataclass(frozen=True)
class Section:
    """What was measured of one source and split, in one of the two ways."""

    anchor: str
    title: str
    facts: str
    sentence: str
    tables: tuple[Table, ...]
    more_tables: tuple[Table, ...]
    slices: tuple[Table, ...]
    more_slices: tuple[Table, ...]
    charts: tuple[Chart, ...]
    players: tuple[Player, ...]
    error_note: str = "Error: mean absolute difference of colour, from 0 (black) to 0.4 of the range (bright)."


@dataclass(frozen=True)
class Page:
    """All of a page."""

    title: str
    protocol: str
    decision: Shown
    headlines: tuple[Headline, ...]
    comparison: tuple[Table, ...]
    published: tuple[Table, ...]
    sections: tuple[Section, ...]
    training: tuple[tuple[str, str], ...]
    not_applicable: tuple[tuple[str, str], ...]
    identity: tuple[Facts, ...]


def make_page(
    report: Report,
    measured: "Measured",
    config: EvaluateConfig,
    decision: Decision | None,
    comparison: Comparison | None,
) -> Page:
    """Everything that a page says of a report.

    Raises:
        DataError: a clip, render or video to be shown cannot be read.
    """
    return Page(
        title=f"{report.model.name} {report.model.sha256[:12]}",
        protocol=report.protocol.preset.name,
        decision=shown_decision(decision),
        headlines=tuple(_headlines(report)),
        comparison=() if comparison is None else tuple(comparison_tables(comparison)),
        published=tuple(published_tables(report)),
        sections=tuple(_sections(report, measured, config)),
        training=tuple(_training(report)),
        not_applicable=tuple((n.what, n.reason) for n in report.not_applicable),
        identity=tuple(identity(report, ClipStore(measured.prepare))),
    )


def _training(report: Report) -> Iterator[tuple[str, str]]:
    if report.training is not None:
        yield "WorldRec", report.training.sentence
    yield from ((words(name), facts.sentence) for name, facts in report.generation_training.items())


def _headlines(report: Report) -> Iterator[Headline]:
    for group in shown_groups(report.groups):
        psnr = group.metric(PSNR.id)
        nearest = None if psnr is None else psnr.baselines.get(NEAREST)
        if psnr is not None and nearest is not None:
            verdict = verdict_of(nearest.difference, nearest.difference_ci95, psnr.direction)
            note = f"{Figures(2).difference(nearest.difference)} to the nearest context frame: {verdict}"
            value = Figures(2).number(psnr.value)
            yield Headline(f"{group.source}: reconstruction, PSNR, dB", value, note, _STYLE[verdict])
    for videos in shown_groups(report.generation):
        yield from _video_headlines(videos)


_STYLE = {"better": "good", "worse": "bad", "cannot tell": "unsure"}


def _video_headlines(group: GenerationGroup) -> Iterator[Headline]:
    leading = leading_method(group)
    for metric_id in generation.HEADLINES:
        metric = None if leading is None else group.metric(leading, metric_id)
        against = None if metric is None else metric.against.get(REPEAT)
        if leading is None or metric is None or against is None:
            continue
        figures = Figures.of([metric.value])
        verdict = verdict_of(against.difference, against.ci95, metric.direction)
        label = with_unit(f"{group.source}: {words(leading)}, {metric_id}", metric.unit)
        note = f"{figures.difference(against.difference)} to the repeated first frame: {verdict}"
        yield Headline(label, figures.number(metric.value), note, _STYLE[verdict])


def _sections(report: Report, measured: "Measured", config: EvaluateConfig) -> Iterator[Section]:
    from evaluation.generation.rollouts import Rollouts, read_rollouts
    from evaluation.renders import read_index

    store = ClipStore(measured.prepare)
    shown = shown_groups(report.groups), shown_groups(report.generation)
    players = config.overview_samples * max(1, len(shown[0]) + len(shown[1]))
    budget = Budget(config.overview_samples, LARGEST_VIDEOS_BYTES // players)
    for i, group in enumerate(report.groups):
        videos: list[Player] = []
        if measured.reconstruct is not None and group in shown[0]:
            index = read_index(measured.reconstruct)
            videos = render_players(report, group, index, store, measured.reconstruct, budget)
        yield _of_renders(f"reconstruction-{i}", group, videos)
    for i, made in enumerate(report.generation):
        videos = []
        rate = report.protocol.generation.rate_hz if report.protocol.generation else 10.0
        if measured.rollout is not None and made in shown[1]:
            rollouts = Rollouts(measured.rollout, read_rollouts(measured.rollout), store)
            videos = video_players(report, made, rollouts, budget)
        yield _of_videos(f"generation-{i}", made, rate, videos)


def _of_renders(anchor: str, group: Group, players: list[Player]) -> Section:
    chart = reconstruction.clip_chart(group)
    slices, more_slices = reconstruction.slice_tables(group.slices, None, PSNR.id)
    return Section(
        anchor=anchor,
        title=f"Reconstruction: {group.source}",
        facts=_facts(group),
        sentence=group.sentence,
        tables=tuple(reconstruction.metric_tables(group)),
        more_tables=(),
        slices=tuple(slices),
        more_slices=tuple(more_slices),
        charts=() if chart is None else (chart,),
        players=tuple(players),
    )


def _of_videos(anchor: str, group: GenerationGroup, rate_hz: float, players: list[Player]) -> Section:
    first, raw = generation.metric_ids(group)
    pairs, more_pairs = generation.pair_tables(group)
    slices, more_slices = reconstruction.slice_tables(group.slices, leading_method(group), VIDEO_PSNR.id)
    charts = [generation.time_chart(group), generation.clip_chart(group), *generation.drift_charts(group, rate_hz)]
    return Section(
        anchor=anchor,
        title=f"Generation: {group.source}",
        facts=f"{_facts(group)}; the first frame is given, and left out of every number",
        sentence=group.sentence,
        tables=(*(generation.metric_table(group, metric_id) for metric_id in first), *pairs),
        more_tables=(*(generation.metric_table(group, metric_id) for metric_id in raw), *more_pairs),
        slices=tuple(slices),
        more_slices=tuple(more_slices),
        charts=tuple(chart for chart in charts if chart is not None),
        players=tuple(players),
    )


def _facts(group: Group | GenerationGroup) -> str:
    place = "frames not trained on, of logs that were" if group.same_log else f"{group.split} split"
    return f"{place}, {count(group.n_clips, 'clip')} of {count(group.n_logs, 'log')}"
