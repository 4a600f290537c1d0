"""What one run's records come to as a graph."""

import json
from pathlib import Path

import pytest

from evaluation.base import fingerprint
from flows.lineage.graph import Graph, Link, Reach, Ref, microseconds, reach, run_graph
from flows.lineage.records import DECISION, GATE_INPUTS, stage_record
from tests.flows.lineage.stories import Clip, Story, Told
from worldmodel.errors import RecordError

CLIPS: list[Clip] = [
    ("a-0", "a", "drives", "train", "0.tar"),
    ("a-1", "a", "drives", "train", "0.tar"),
    ("b-0", "b", "made", "test", "1.tar"),
]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def graph_of(told: Told, **facts: object) -> Graph:
    told.close(**facts)
    return run_graph(told.story.records, told.story.records.run(told.run_id))


def links(graph: Graph, *roles: str) -> set[tuple[str, str, str]]:
    return {(link.src.key, link.role, link.dst.key) for link in graph.links if link.role in roles}


def test_prepared_clips_hang_between_their_logs_shards_and_output(story: Story) -> None:
    told = story.run("r1", 1).prepare(CLIPS)
    output = told.made["prepare"]
    graph = graph_of(told)
    assert links(graph, "contains") == {
        ("drives@generated", "contains", "a"),
        ("made@generated", "contains", "b"),
        ("a", "contains", "a-0"),
        ("a", "contains", "a-1"),
        ("b", "contains", "b-0"),
    }
    assert links(graph, "train", "val", "test") == {
        ("a-0", "train", output),
        ("a-1", "train", output),
        ("b-0", "test", output),
    }
    assert links(graph, "packed", "part") == {
        ("a-0", "packed", "shard-0.tar-"),
        ("a-1", "packed", "shard-0.tar-"),
        ("b-0", "packed", "shard-1.tar-"),
        ("shard-0.tar-", "part", output),
        ("shard-1.tar-", "part", output),
    }
    assert links(graph, "source") == {("drives@generated", "source", output), ("made@generated", "source", output)}


def test_an_output_hangs_on_its_inputs_code_and_params_and_holds_its_weights(story: Story) -> None:
    told = story.run("r1", 1).prepare(CLIPS)
    told.stage("train_worldrec", "x", ["prepare"], tree="1" * 40, weights={"model.safetensors": "w" * 64})
    output = told.made["train_worldrec"]
    graph = graph_of(told)
    into = {(link.src.kind, link.role) for link in graph.links if link.dst.key == output}
    assert into == {("output", "input"), ("code", "code"), ("params", "params"), ("run", "ran")}
    assert Link(Ref("output", told.made["prepare"]), Ref("output", output), "input") in graph.links
    assert Link(Ref("code", "1" * 40), Ref("output", output), "code") in graph.links
    assert Link(Ref("params", fingerprint({"seed": 7})), Ref("output", output), "params") in graph.links
    assert links(graph, "file") == {(output, "file", "w" * 64)}


def test_weights_that_were_taken_are_not_made_by_the_stage_that_took_them(story: Story) -> None:
    pretrained = {"train_tokenizer": {"pretrained": {"folder": "f", "sha256": "w" * 64}}}
    told = story.run("r2", 2).stage(
        "train_tokenizer", "y", params=pretrained, weights={"tokenizer/tokenizer.safetensors": "w" * 64}
    )
    graph = graph_of(told, model="toy", model_sha256="m", parts={"tokenizer": "w" * 64})
    assert not links(graph, "file")
    assert links(graph, "pretrained", "network", "part:tokenizer") == {
        ("w" * 64, "pretrained", "w" * 64),
        ("w" * 64, "network", told.made["train_tokenizer"]),
        ("w" * 64, "part:tokenizer", "m"),
    }


def test_a_report_a_decision_and_the_champions_report_lead_to_the_model(story: Story) -> None:
    extractor = {"id": "i3d", "package": "p", "licence": "MIT", "file_sha256": "n" * 64}
    report = {"model": {"sha256": "m"}, "protocol": {"extractors": [extractor]}}
    champions = {"model": {"sha256": "before"}, "protocol": {"extractors": []}}
    decision = {"verdict": "promote", "summary": "better"}
    told = story.run("r1", 1).stage("evaluate", "e")
    told.keep(stage_record("evaluate", "report.json"), json.dumps(report).encode())
    told.keep(DECISION, json.dumps(decision).encode())
    told.keep(GATE_INPUTS, json.dumps({"report": report, "champion_report": champions}).encode())
    graph = graph_of(told, model="toy", model_sha256="m", decision_sha256=fingerprint(decision))
    assert links(graph, "report", "champion", "decided", "network") == {
        ("n" * 64, "network", told.made["evaluate"]),
        (told.made["evaluate"], "report", fingerprint(report)),
        (fingerprint(report), "report", fingerprint(decision)),
        (fingerprint(champions), "champion", fingerprint(decision)),
        ("r1", "decided", fingerprint(decision)),
        (fingerprint(decision), "decided", "m"),
    }


def test_clips_that_are_known_are_not_read_again(story: Story) -> None:
    told = story.run("r1", 1).prepare(CLIPS)
    told.close()
    graph = run_graph(story.records, story.records.run("r1"), {told.made["prepare"]})
    assert {ref.kind for ref in graph.nodes} == {"run", "output", "code", "params"} and graph.prepared == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("clips.parquet", b"no parquet", "stages/prepare/clips.parquet of run r1 is not what its name says"),
        ("sources.json", b"{}", "stages/prepare/sources.json of run r1 is not what its name says"),
        ("manifest.json", b"[]", "stages/prepare/manifest.json of run r1 is not what its name says"),
    ],
)
def test_a_record_of_another_form_is_named_with_its_run(story: Story, name: str, content: bytes, says: str) -> None:
    told = story.run("r1", 1).prepare(CLIPS)
    told.keep(stage_record("prepare", name), content)
    with pytest.raises(RecordError, match=says):
        graph_of(told)


def test_an_altered_and_a_missing_record_are_named_with_their_run(story: Story) -> None:
    told = story.run("r1", 1).prepare(CLIPS)
    told.close()
    path = story.records.path(told.files[stage_record("prepare", "clips.parquet")])
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(RecordError, match=r"stages/prepare/clips.parquet of run r1 was altered"):
        run_graph(story.records, story.records.run("r1"))
    path.unlink()
    with pytest.raises(RecordError, match=r"stages/prepare/clips.parquet of run r1 is gone"):
        run_graph(story.records, story.records.run("r1"))


def test_a_split_that_nobody_knows_is_refused(story: Story) -> None:
    with pytest.raises(RecordError, match=r"clip a-0 is in the split 'holdout'"):
        graph_of(story.run("r1", 1).prepare([("a-0", "a", "drives", "holdout", "0.tar")]))


def test_the_richer_description_of_a_node_stays_in_either_order() -> None:
    for order in (({}, {"stage": "x"}), ({"stage": "x"}, {})):
        graph = Graph("r", 0, "s")
        for attrs in order:
            graph.node("output", "k", attrs)
        assert graph.nodes == {Ref("output", "k"): '{"stage":"x"}'}


def test_times_are_read_in_any_zone_and_refused_without() -> None:
    assert microseconds("1970-01-01T01:00:01.000002+01:00", "run r1") == 1_000_002
    with pytest.raises(RecordError, match="run r1: not a time"):
        microseconds("2026-01-01T00:00:00", "run r1")


def test_what_an_edge_holds_for_follows_from_its_role() -> None:
    assert reach("input") is Reach.RUN and reach("cached") is Reach.RUN
    assert reach("train") is Reach.DATA and reach("pretrained") is Reach.DATA
    assert reach("ran") is Reach.CONTENT and reach("part:worldgen") is Reach.CONTENT
    assert reach("champion") is Reach.COMPARED
