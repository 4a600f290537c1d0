import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evaluation.base import fingerprint
from flows.audit.cards import schema
from flows.audit.cards.markdown import card_markdown, code, escaped
from flows.audit.cards.model_card import model_card
from flows.audit.cards.schema import ModelCard
from flows.audit.cards.subject import Subject, subject_of
from flows.audit.cards.words import PARTS
from flows.bundle import PARTS as BUNDLE
from tests.flows.audit.cards.conftest import REASON
from tests.flows.history import MODEL, History
from worldmodel.errors import RecordError

OUTLINE = "c10e4969b20385bb3b530bf67b2f4e05510141d04015be3d3aafa2e4aa240e46"
GFM = MarkdownIt("gfm-like", {"linkify": False}).enable("table")


def test_a_card_says_who_made_the_model_from_what_and_who_let_it_through(card: ModelCard, told: History) -> None:
    run = told.runs[2]
    assert (card.model.name, card.model.version, card.model.sha256) == (MODEL, "3", run.model["sha256"])
    assert (card.run.run_id, card.run.snapshot, card.run.signed_by) == (run.run_id, run.snapshot, told.key.keyid)
    assert {part.name: part.sha256 for part in card.parts} == run.model["parts"]
    assert card.standing.champion and card.standing.until is None
    assert card.decision is not None and card.decision.verdict == "promote"
    assert card.decision.champion_sha256 == told.runs[0].model["sha256"]


def test_data_are_counted_by_split_from_the_clips_themselves(card: ModelCard) -> None:
    assert card.data is not None
    (source,) = card.data.sources
    assert (source.name, source.licences, source.digest) == ("drives", ("MIT",), "5" * 64)
    assert source.clips == {"train": 4, "val": 2, "test": 2}
    assert source.logs == {"train": 2, "val": 1, "test": 1}
    assert source.frames == {"train": 80, "val": 40, "test": 40}
    assert (card.data.shards, card.data.shared_logs) == (3, ())


def test_recalled_data_that_the_model_has_seen_are_named_and_others_are_not(card: ModelCard) -> None:
    assert card.data is not None
    assert [(one.id, one.clips, one.reason) for one in card.data.recalled] == [("log-b", {"train": 2}, REASON)]
    kinds = [event.kind for event in card.history]
    assert kinds.count("data.recalled") == 1


def test_every_number_is_the_reports_with_its_interval_and_counts(card: ModelCard, subject: Subject) -> None:
    assert card.evaluation is not None and subject.report is not None
    assert card.evaluation.report_sha256 == fingerprint(subject.report)
    metric = subject.report.groups[0].metric("image/psnr")
    assert metric is not None
    found = next(one for one in card.evaluation.measures if one.metric == "image/psnr")
    assert (found.value, found.ci95, found.n_clips, found.n_logs) == (22.0, metric.ci95, 4, 4)
    assert (found.of, found.source, found.split, found.same_log) == ("reconstruction", "synthetic", "test", False)
    assert found.baselines == {"nearest_context": 20.0}


def test_stages_come_after_those_they_read_from_with_the_run_that_computed_them(told: History) -> None:
    made = told.runs[1]  # it found the data and the tokenizer of the run before
    card = model_card(subject_of(told.records, list(told.ledger.entries()), MODEL, "2"))
    seen: set[str] = set()
    for stage in card.training:
        assert set(stage.inputs) <= seen, stage.stage
        seen.add(stage.stage)
    by_name = {stage.stage: stage for stage in card.training}
    assert by_name["worldgen_dmd"].made_in == made.run_id
    assert by_name["worldgen_dmd"].outcome == "ran"
    assert by_name["train_tokenizer"].outcome == "cached"
    assert (by_name["worldgen_dmd"].seed, by_name["worldgen_dmd"].steps) == (7, 3)


def test_a_refused_model_was_never_champion_and_one_that_was_replaced_says_when(told: History) -> None:
    entries = list(told.ledger.entries())
    first, second = (model_card(subject_of(told.records, entries, MODEL, version)) for version in ("1", "2"))
    assert second.decision is not None and second.decision.verdict == "refuse"
    assert second.standing.sentence == "It was never champion."
    assert not first.standing.champion and first.standing.until is not None
    assert "version 3 took its place" in first.standing.sentence


def test_what_was_not_measured_is_said(card: ModelCard) -> None:
    assert {"energy used in training"} <= {one.what for one in card.not_measured}
    assert all(one.reason for one in card.not_measured)


def test_the_same_records_and_ledger_give_the_same_card(told: History, card: ModelCard) -> None:
    again = model_card(subject_of(told.records, list(told.ledger.entries()), MODEL, "3"))
    assert again == card
    assert card_markdown(again) == card_markdown(card)


def test_the_json_is_read_back_and_its_outline_is_that_of_version_1(card: ModelCard) -> None:
    document = json.loads(card.model_dump_json())
    assert ModelCard.model_validate(document) == card
    assert document["schema_version"] == "worldmodel.model-card/1"
    assert list(document) == [
        *("schema_version", "model", "as_of", "standing", "parts", "run", "data", "training", "packages"),
        *("evaluation", "decision", "not_measured", "history"),
    ]
    assert fingerprint(_outline()) == OUTLINE, "another outline needs another version"


def _outline() -> dict[str, dict[str, str]]:
    """Every record of the schema: its fields with their types."""
    records = [value for value in vars(schema).values() if isinstance(value, type) and issubclass(value, schema.Record)]
    return {one.__name__: {name: str(info.annotation) for name, info in one.model_fields.items()} for one in records}


def test_every_part_of_a_bundle_has_its_words() -> None:
    assert set(PARTS) == {part.name for part in BUNDLE}
    assert all(words.uses and words.limits for words in PARTS.values())


def test_a_record_that_was_altered_makes_no_card(told: History) -> None:
    run = told.records.run(told.runs[2].run_id)
    path = told.records.path(run.files["stages/evaluate/report.json"])
    content = path.read_bytes()
    try:
        path.write_bytes(content.replace(b"22.0", b"99.0"))
        with pytest.raises(RecordError, match="was altered"):
            model_card(subject_of(told.records, list(told.ledger.entries()), MODEL, "3"))
    finally:
        path.write_bytes(content)


def test_a_version_that_nobody_registered_is_named(told: History) -> None:
    with pytest.raises(RecordError, match="toy version 9 is not registered"):
        subject_of(told.records, list(told.ledger.entries()), MODEL, "9")


def test_markdown_has_every_section_and_shows_hostile_words_as_they_are(card: ModelCard) -> None:
    text = card_markdown(card)
    rendered = GFM.render(text)
    for title in ("Data", "How it was made", "What it scores", "What was not measured", "Who let it through"):
        assert f"<h2>{title}</h2>" in rendered
    assert html.escape(REASON, quote=False) in html.unescape(rendered).replace("&", "&amp;").replace(
        "<b>", "&lt;b&gt;"
    ).replace("</b>", "&lt;/b&gt;")
    assert "<b>" not in rendered and "<a " not in rendered and "<script" not in rendered


PRINTED = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \n\t"), max_size=60)


@given(PRINTED)
def test_escaped_text_reads_as_it_stands_and_makes_no_markup(text: str) -> None:
    rendered = GFM.render(f"x {escaped(text)} x").removeprefix("<p>").removesuffix("</p>\n")
    assert html.unescape(rendered).split() == f"x {text} x".split()
    assert "<" not in rendered


def test_what_cannot_be_seen_is_shown_as_such() -> None:
    assert escaped("good\u202edab\x00\x1b[31m") == "good\ufffddab\ufffd\ufffd\\[31m"


@given(PRINTED)
def test_a_cell_never_breaks_its_table(text: str) -> None:
    rendered = GFM.render(f"| a | b |\n| --- | --- |\n| x {escaped(text)} | y {code(text)} |\n")
    assert (rendered.count("<td"), rendered.count("<tr")) == (2, 2)
