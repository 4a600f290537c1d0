"""What a model was made from."""

import json

import pytest

from flows.audit.books import Books, open_books
from flows.audit.trace import Trace, trace
from flows.ledger.bodies import ModelRegistered
from tests.flows.audit.going_on import add_pupil
from tests.flows.history import ENVIRONMENT, History
from worldmodel.errors import RecordError

STAGES = (
    *("prepare", "validate", "train_tokenizer", "train_worldrec", "render_priors"),
    *("worldgen_bidirectional", "worldgen_dmd"),
)


def asked(made: History, spec: str) -> Trace:
    with open_books(made.state) as books:
        return trace(books, spec)


def test_the_chain_is_told_stage_by_stage_after_what_each_was_made_from(past: History, books: Books) -> None:
    found = trace(books, "toy/2")
    stages = {step.stage: step for step in found.stages}
    assert tuple(stages) == STAGES and [step.stage for step in found.measured_by] == ["evaluate"]
    dmd, bidirectional = stages["worldgen_dmd"], stages["worldgen_bidirectional"]
    assert dmd.inputs["worldgen_bidirectional"] == bidirectional.output
    assert dmd.weights == {"model.safetensors": past.runs[1].model["parts"]["worldgen"]}
    assert (dmd.seed, dmd.threads, dmd.params) == (7, 2, {"steps": 3, "flavour": "two"})
    assert (dmd.commit, dmd.environment) == (past.runs[1].snapshot, found.surroundings[0].sha256)


def test_each_output_names_the_run_that_made_it_not_the_one_that_found_it(past: History, books: Books) -> None:
    first, second = past.runs[0].run_id, past.runs[1].run_id
    found = trace(books, "toy/2")
    made_by = {step.stage: (step.run_id, step.outcome, step.made_by) for step in found.stages}
    assert made_by["train_tokenizer"] == (second, "cached", first)
    assert made_by["worldgen_dmd"] == (second, "ran", second)
    assert [run.run_id for run in found.runs] == [first, second]
    assert [(run.snapshot, run.dirty, run.status) for run in found.runs][1] == (
        past.runs[1].snapshot,
        False,
        "refused",
    )


def test_teachers_are_told_by_part_up_to_the_part_itself(past: History, books: Books) -> None:
    found = trace(books, "toy/3")
    chains = {part: [link.stage for link in chain] for part, chain in found.teachers.items()}
    assert chains == {
        "tokenizer": ["train_tokenizer"],
        "worldrec": ["train_worldrec"],
        "worldgen": ["train_tokenizer", "train_worldrec", "render_priors", "worldgen_bidirectional", "worldgen_dmd"],
    }
    assert found.teachers["worldgen"][-1].weights == (past.runs[2].model["parts"]["worldgen"],)


def test_data_are_counted_by_split_and_logs_named_only_when_asked(books: Books) -> None:
    (data,) = trace(books, "toy").prepared
    assert [(source.name, source.digest) for source in data.sources] == [("drives", "5" * 64)]
    assert [(c.source, c.split, c.clips, c.logs) for c in data.counts] == [
        ("drives", "train", 4, 2),
        ("drives", "val", 2, 1),
        ("drives", "test", 2, 1),
    ]
    assert data.logs is None
    (named,) = trace(books, "toy", logs=True).prepared
    assert named.logs == {"train": ("log-b", "log-e"), "val": ("log-c",), "test": ("log-d",)}
    assert "-clip" not in json.dumps(trace(books, "toy", logs=True).model_dump(mode="json")), "a record a clip"


def test_surroundings_are_told_once_with_the_stages_that_had_them(books: Books) -> None:
    (found,) = trace(books, "toy/1").surroundings
    assert found.facts == ENVIRONMENT and found.stages == STAGES


def test_who_let_it_through_is_told_and_that_nobody_let_a_refused_one(books: Books) -> None:
    promoted, refused = trace(books, "toy/3"), trace(books, "toy/2")
    (passed,) = promoted.passed_by
    assert (passed.actor, passed.cause, passed.completed_at is None) == ("trainer", "gate", False)
    assert promoted.decision is not None and promoted.decision.verdict == "promote"
    assert refused.passed_by == () and refused.decision is not None
    assert [rule.id for rule in refused.decision.stopped] == [
        "absolute/synthetic/image/psnr/min",
        "champion/synthetic/image/psnr",
    ]


def test_parts_that_other_versions_have_too_are_told(books: Books) -> None:
    shared = trace(books, "toy/1").shared_parts
    assert {part: [ref.version for ref in refs] for part, refs in shared.items()} == {
        "tokenizer": ["2"],
        "worldrec": ["2"],
    }


def test_weights_from_an_earlier_run_lead_on_to_what_that_run_made_them_from(
    made: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil = add_pupil(made, monkeypatch)
    found = asked(made, "toy/4")
    (network,) = found.networks
    first = made.runs[0].run_id
    assert (network.stage, network.made_by) == ("train_tokenizer", first)
    assert [ref.version for ref in network.models] == ["1", "2"]
    assert [data.run_id for data in found.prepared] == [first, pupil.run_id]
    chain = [(link.stage, link.made_by) for link in found.teachers["tokenizer"]]
    assert chain == [("train_tokenizer", first), ("train_tokenizer", made.runs[2].run_id)], "run 3 made the same bytes"
    assert [run.run_id for run in found.runs] == [first, made.runs[2].run_id, pupil.run_id]


def test_weights_that_no_recorded_run_made_are_named_as_such(made: History, monkeypatch: pytest.MonkeyPatch) -> None:
    add_pupil(made, monkeypatch, teacher="e" * 64)
    found = asked(made, "toy/4")
    assert [(network.sha256, network.made_by) for network in found.networks] == [("e" * 64, None)]
    assert len(found.prepared) == 1


def test_a_model_of_a_run_that_left_no_statement_says_so(made: History) -> None:
    body = ModelRegistered(name="toy", version="4", model_sha256="4" * 64, run_id="killed", parts={})
    made.ledger.append(body, "me")
    with pytest.raises(RecordError, match="run killed has left no statement"):
        asked(made, "toy/4")


def test_an_altered_record_is_named_and_not_counted(made: History) -> None:
    run = made.records.run(made.runs[2].run_id)
    made.records.path(run.files["stages/prepare/clips.parquet"]).write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=f"clips.parquet of run {run.run_id} was altered"):
        asked(made, "toy/3")
