"""The lineage index: walks over it, and that it follows from the records alone, however it was made."""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import audit as benchmark
from flows.commands.index import index as audit_index
from flows.ledger.store import ledger_url
from flows.lineage.graph import Graph, Reach, Ref, reach
from flows.lineage.index import INDEX_VARIABLE, Closure, Index, Node, index_url, rebuild_index
from flows.lineage.records import Records
from tests.flows.history import History, make_history
from tests.flows.lineage.stories import Story
from tests.flows.postgres import postgres_server, postgres_url
from worldmodel.errors import LedgerError, RecordError

__all__ = ["postgres_server", "postgres_url"]

SLOWLY = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for an index."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/lineage.db"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return make_history(tmp_path_factory.mktemp("past"))


@pytest.fixture(scope="module")
def made(history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The index of the history."""
    with Index.open(f"sqlite:///{tmp_path_factory.mktemp('index')}/lineage.db") as index:
        assert index.catch_up(history.records) == 3
        yield index


def model(history: History, made: Index, turn: int) -> Node:
    return made.resolve(str(history.runs[turn - 1].model["sha256"]), ("model",))


# --- walks over the history


def test_a_model_goes_back_to_the_logs_it_was_made_of_and_no_others(history: History, made: Index) -> None:
    first, third = (made.ancestors(model(history, made, turn)) for turn in (1, 3))
    assert first.keys("log") == {"log-a", "log-b", "log-c", "log-d"}
    # their verdicts of `validate` are one and the same node
    assert third.keys("log") == {"log-b", "log-c", "log-d", "log-e"}
    assert len(first.of("clip")) == first.counts["clip"] == 8
    stages = {node.attrs["stage"] for node in first.of("output")}
    assert {"prepare", "validate", "worldgen_bidirectional", "worldgen_dmd", "evaluate"} <= stages


def test_a_log_leads_to_every_model_that_it_went_into(history: History, made: Index) -> None:
    models = [model(history, made, turn) for turn in (1, 2, 3)]
    assert made.descendants(made.resolve("log-a")).keys("model") == {node.key for node in models[:2]}
    assert made.descendants(made.resolve("log-b"), kinds=("model",)).nodes.keys() == {"model"}
    assert made.descendants(made.resolve("log-b")).keys("model") == {node.key for node in models}
    assert made.descendants(made.resolve("log-e")).of("model") == [models[2]]


def test_what_a_champion_was_made_of_is_not_what_it_was_compared_with(history: History, made: Index) -> None:
    decision = made.edges_into(model(history, made, 3), ("decided",))[0].src
    compared = made.edges_into(decision, ("champion",))
    assert [edge.src.attrs["model"] for edge in compared] == [history.runs[0].model["sha256"]]
    assert compared[0].src not in made.ancestors(decision).of("report")


def test_one_runs_way_of_making_a_model_has_one_tree_of_code(history: History, made: Index) -> None:
    first, run = model(history, made, 1), history.runs[0].run_id
    assert made.ancestors(first).counts["code"] == 2  # run 2 found most of its outputs there
    assert made.ancestors(first, run=run).counts["code"] == 1
    assert made.ancestors(first, run=run).keys("log") == {"log-a", "log-b", "log-c", "log-d"}


def test_an_earlier_time_knows_only_what_was_recorded_by_then(history: History, made: Index) -> None:
    log_b = made.resolve("log-b")
    counts = [made.descendants(log_b, at).counts.get("model", 0) for at in (*history.after, None)]
    assert counts == [1, 2, 3, 3]
    assert made.ancestors(model(history, made, 3), history.after[1]).counts == {}
    assert made.path(log_b, model(history, made, 3), history.after[1]) == []


def test_a_clip_says_its_split_by_the_edge_into_the_prepared_output(made: Index) -> None:
    roles = {log: {e.role for e in made.edges_from(made.resolve(f"log-{log}-clip0"))} for log in "acd"}
    assert roles == {"a": {"packed", "train"}, "c": {"packed", "val"}, "d": {"packed", "test"}}


def test_a_path_is_edge_by_edge_from_one_end_to_the_other(history: History, made: Index) -> None:
    ends = made.resolve("log-a"), model(history, made, 2)
    path = made.path(*ends)
    assert (path[0].src, path[-1].dst) == ends
    assert all(before.dst == after.src for before, after in pairwise(path))
    assert [edge.role for edge in path[:3]] == ["contains", "train", "input"]
    assert made.path(made.resolve("log-e"), ends[1]) == []


def test_the_edges_of_a_closure_lead_to_all_of_its_nodes(history: History, made: Index) -> None:
    start = model(history, made, 1)
    closure = made.ancestors(start)
    assert {edge.src for edge in closure.edges} == {node for nodes in closure.nodes.values() for node in nodes}
    assert {edge.run for edge in closure.edges} == {run.run_id for run in history.runs[:2]}


# --- names


def test_a_name_is_a_whole_key_or_a_start_that_only_one_has(history: History, made: Index) -> None:
    sha256 = str(history.runs[0].model["sha256"])
    assert (
        made.resolve(sha256).key == made.resolve(sha256[:10]).key == made.resolve(f"model:{sha256[:6]}").key == sha256
    )
    assert made.resolve("log-a").kind == "log"  # though clips begin so


def test_a_start_of_several_names_them(made: Index) -> None:
    with pytest.raises(RecordError, match=r"several(.|\n)*clip:log-a-clip0, clip:log-a-clip1(.|\n)*KIND:KEY"):
        made.resolve("log-a-cl")


@pytest.mark.parametrize("text", ["ffff0000", "log", "log:no-such"])
def test_what_nothing_is_called_says_where_was_looked(made: Index, text: str) -> None:
    with pytest.raises(RecordError, match=r"nothing in the lineage index(.|\n)*key of a log or clip"):
        made.resolve(text, ("log", "clip") if ":" not in text else ("log or clip",))


def test_a_node_of_another_index_is_refused(made: Index) -> None:
    with pytest.raises(RecordError, match="clip nowhere is not in the lineage index"):
        made.ancestors(Node("clip", "nowhere"))


# --- how it comes about


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Five runs with much in common; two end at one time, and the prepared data of two are equal."""
    told = Story(tmp_path_factory.mktemp("story"))
    pretrained = {"train_tokenizer": {"pretrained": {"sha256": "w" * 64}}}
    for number, (minute, content) in enumerate([(3, "x"), (3, "x"), (4, "y"), (2, "y"), (5, "z")]):
        run = told.run(f"r{number}", minute)
        clips = [(f"{content}-0", content, "drives", "train", "0.tar"), ("b-0", "b", "drives", "test", "1.tar")]
        run.prepare(clips, content)
        run.stage("validate", "equal", ["prepare"])
        taken = content == "z"
        weights = {"tokenizer/tokenizer.safetensors": "w" * 64}
        run.stage(
            "train_tokenizer", content, ["prepare", "validate"], weights=weights, params=pretrained if taken else {}
        )
        run.close(model="toy", model_sha256=f"m-{content}", parts={"tokenizer": "w" * 64})
    return told


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.open(f"sqlite:///{tmp_path_factory.mktemp('empty')}/lineage.db") as index:
        yield index


def placed(story: Story, folder: Path) -> Callable[[str], Records]:
    """Records with the story's blobs, to which its runs come one by one."""
    folder.mkdir()
    (folder / "blobs").symlink_to(story.records.folder / "blobs")
    (folder / "runs").mkdir()

    def add(run_id: str) -> Records:
        (folder / "runs" / f"{run_id}.json").write_bytes(story.records.run_path(run_id).read_bytes())
        return Records(folder)

    return add


@SLOWLY
@given(order=st.permutations(["r0", "r1", "r2", "r3", "r4"]), together=st.integers(1, 5))
def test_an_index_does_not_depend_on_the_order_of_its_runs(
    story: Story, empty: Index, tmp_path_factory: pytest.TempPathFactory, order: list[str], together: int
) -> None:
    add = placed(story, tmp_path_factory.mktemp("orders") / "records")
    empty.replace([])
    for number, run_id in enumerate(order):
        records = add(run_id)
        if number + 1 >= together:
            empty.catch_up(records)
    one_by_one = list(empty.dump())
    counts = empty.rebuild(story.records)
    assert list(empty.dump()) == one_by_one and empty.counts() == counts and counts.runs == 5


def test_equal_records_give_equal_lines_in_both_kinds_of_store(story: Story, url: str, tmp_path: Path) -> None:
    with Index.open(url) as one, Index.open(f"sqlite:///{tmp_path}/other.db") as other:
        one.catch_up(story.records)
        other.rebuild(story.records)
        assert list(one.dump()) == list(other.dump()) and one.digest() == other.digest()
        assert one.behind(story.records) == [] and one.catch_up(story.records) == 0
        weights = one.resolve("w" * 64, ("weights",))  # the last run only mentions them
        assert weights.attrs == {"path": "train_tokenizer/tokenizer/tokenizer.safetensors"}


def test_a_tokenizer_that_was_taken_brings_the_data_of_who_made_it(story: Story, url: str) -> None:
    with Index.open(url) as index:
        index.rebuild(story.records)
        assert index.descendants(index.resolve("clip:x-0")).keys("model") >= {"m-x", "m-z"}
        assert index.descendants(index.resolve("clip:z-0")).keys("model") == set()  # the weights came from elsewhere
        taken = index.ancestors(index.resolve("output:" + _output_that_took(index)))
        assert taken.keys("clip") == {"x-0", "y-0", "z-0", "b-0"}


def _output_that_took(index: Index) -> str:
    (edge,) = index.edges_from(index.resolve("w" * 64, ("network",)), ("network",))
    return edge.dst.key


def test_an_index_says_which_runs_it_lacks_and_which_are_gone(story: Story, url: str, tmp_path: Path) -> None:
    add = placed(story, tmp_path / "records")
    with Index.open(url) as index:
        index.catch_up(add("r2"))
        records = add("r1")
        assert index.behind(records) == ["r1"] and index.catch_up(records) == 1
        records.run_path("r2").unlink()
        with pytest.raises(RecordError, match=r"the statement of run r2 is gone(.|\n)*audit index --rebuild"):
            index.catch_up(records)
        assert index.rebuild(records).runs == 1


def test_a_record_that_cannot_be_read_leaves_the_index_as_it_was(tmp_path: Path, url: str) -> None:
    told = Story(tmp_path)
    told.run("r0", 0).stage("validate", "v").close()
    with Index.open(url) as index:
        index.catch_up(told.records)
        before = list(index.dump())
        run = told.run("r1", 1).stage("validate", "other")
        run.close()
        told.records.path(run.files["stages/validate/statement.json"]).write_bytes(b"{}")
        for attempt in (index.catch_up, index.rebuild):
            with pytest.raises(RecordError, match=r"stages/validate/statement.json of run r1 was altered"):
                attempt(told.records)
        assert list(index.dump()) == before


DIES = """
import os, sys
from pathlib import Path
from flows.lineage.graph import run_graph
from flows.lineage.index import Index
from flows.lineage.records import Records
records = Records(Path(sys.argv[2]))
def graphs():
    for number, run_id in enumerate(records.run_ids()):
        if number == 3:
            os.kill(os.getpid(), 9)
        yield run_graph(records, records.run(run_id))
Index.open(sys.argv[1]).replace(graphs())
"""


def test_a_rebuild_that_is_killed_leaves_the_index_as_it_was(story: Story, url: str) -> None:
    with Index.open(url) as index:
        index.rebuild(story.records)
        before = list(index.dump())
        killed = subprocess.run(
            [sys.executable, "-c", DIES, url, str(story.records.folder)], cwd=Path(__file__).parents[3]
        )
        assert killed.returncode == -9
        assert list(index.dump()) == before
        index.rebuild(story.records)  # no lock is left


# --- stores that are not as they should be


def test_an_index_of_a_newer_version_is_left_alone(story: Story, url: str) -> None:
    Index.open(url).close()
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE lineage_version SET version_num = '9999'"))
    engine.dispose()
    for attempt in (lambda: Index.open(url), lambda: rebuild_index(url, story.records)):
        with pytest.raises(LedgerError, match="written by a newer version"):
            attempt()


@pytest.mark.parametrize("spared", [0, 8192])
def test_a_damaged_file_says_that_it_can_be_made_anew(story: Story, tmp_path: Path, spared: int) -> None:
    url, file = f"sqlite:///{tmp_path}/lineage.db", tmp_path / "lineage.db"
    with Index.open(url) as index:
        index.rebuild(story.records)
        whole = index.digest()
    content = file.read_bytes()
    file.write_bytes(content[:spared] + b"\x5a" * (len(content) - spared))
    with pytest.raises(LedgerError, match=r"damaged(.|\n)*worldmodel audit index --rebuild"), Index.open(url) as index:
        index.digest()
    again = rebuild_index(url, story.records)
    assert (again.equal, again.first, again.digest, again.counts.runs) == (None, False, whole, 5)


def test_a_rebuild_says_whether_the_index_was_what_the_records_say(story: Story, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/lineage.db"
    first, second = rebuild_index(url, story.records), rebuild_index(url, story.records)
    assert (first.first, first.equal) == (True, None)
    assert (second.first, second.equal) == (False, True)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE lineage_nodes SET key = 'm-q' WHERE key = 'm-x'"))
    engine.dispose()
    assert rebuild_index(url, story.records).equal is False


# --- walks, against a slow and obvious reference


NAMES = "abcdef"
ROLES = ("input", "file", "train", "champion")
LINKS = st.tuples(st.integers(0, 2), st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(ROLES))
Told = list[tuple[int, str, str, str]]


def graphs(told: Told) -> list[Graph]:
    """Three runs, at 0, 1 and 2 microseconds after the epoch."""
    found = [Graph(f"run{number}", number, "s") for number in range(3)]
    for graph in found:
        graph.node("run", graph.run_id)
        for name in NAMES:
            graph.node("output", name)
    for number, src, dst, role in told:
        found[number].link(Ref("output", src), Ref("output", dst), role)
    return found


def distances(told: Told, start: str, *, up: bool) -> dict[str, int]:
    """Steps to each node by walks that keep to one run between edges of data."""
    seen, queue = {(start, -1): 0}, deque([(start, -1)])
    while queue:
        node, run = queue.popleft()
        for number, src, dst, role in told:
            here, there = (dst, src) if up else (src, dst)
            held = reach(role)
            if here != node or held is Reach.COMPARED or (held is Reach.RUN and run not in (-1, number)):
                continue
            state = (there, {Reach.RUN: number, Reach.DATA: -1}.get(held, run))
            if state not in seen:
                seen[state] = seen[node, run] + 1
                queue.append(state)
    return {name: min(steps for (node, _), steps in seen.items() if node == name) for name in {n for n, _ in seen}}


def names(closure: Closure) -> set[str]:
    return closure.keys("output")


@SLOWLY
@given(told=st.lists(LINKS, max_size=16))
def test_closures_and_paths_are_those_of_the_reference(empty: Index, told: Told) -> None:
    empty.replace(graphs(told))
    for start in NAMES[:3]:
        down, up = (distances(told, start, up=up) for up in (False, True))
        node = Node("output", start)
        assert names(empty.descendants(node)) == down.keys() - {start}
        assert names(empty.ancestors(node)) == up.keys() - {start}
        for end, steps in down.items():
            path = empty.path(node, Node("output", end))
            assert len(path) == steps
            assert [edge.src.key for edge in path[1:]] == [edge.dst.key for edge in path[:-1]]
            assert start in distances(told, end, up=True)


@SLOWLY
@given(told=st.lists(LINKS, max_size=16), last=st.integers(0, 2))
def test_an_earlier_graph_is_that_of_the_runs_until_then(empty: Index, told: Told, last: int) -> None:
    empty.replace(graphs(told))
    at = f"1970-01-01T00:00:00.{last:06d}Z"
    then = [link for link in told if link[0] <= last]
    for start in NAMES[:3]:
        assert names(empty.descendants(Node("output", start), at)) == distances(then, start, up=False).keys() - {start}


# --- the command and the benchmark


def test_the_command_catches_up_and_then_rebuilds_the_same(
    history: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(history.root)
    monkeypatch.delenv(INDEX_VARIABLE, raising=False)
    monkeypatch.setenv("WORLDMODEL_STATE", str(history.state))
    assert audit_index(rebuild=False, as_json=True) == 0
    caught_up = json.loads(capsys.readouterr().out)
    assert caught_up["added"] == caught_up["runs"] == 3 and caught_up["nodes"]["log"] == 5
    assert audit_index(rebuild=True, as_json=True) == 0
    rebuilt = json.loads(capsys.readouterr().out)
    assert rebuilt["equal"] is True and rebuilt["edges"] == caught_up["edges"]
    assert audit_index(rebuild=False, as_json=False) == 0 and audit_index(rebuild=True, as_json=False) == 0
    shown = capsys.readouterr().out
    assert "up to date" in shown and "equal to what it was" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_an_index_that_was_not_there_is_made_for_the_first_time(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(history.root)
    monkeypatch.setenv("WORLDMODEL_STATE", str(history.state))
    monkeypatch.setenv(INDEX_VARIABLE, f"sqlite:///{tmp_path}/fresh.db")
    assert audit_index(rebuild=True, as_json=False) == 0
    assert capsys.readouterr().out.startswith("made for the first time\n")


def test_the_url_is_given_or_a_file_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INDEX_VARIABLE, raising=False)
    assert index_url(tmp_path) == f"sqlite:///{tmp_path}/lineage.db" != ledger_url(tmp_path)
    monkeypatch.setenv(INDEX_VARIABLE, "postgresql://there/lineage")
    assert index_url(tmp_path) == "postgresql://there/lineage"


def test_the_benchmark_measures_a_history_that_hangs_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = benchmark.Shape(clips=200, runs=20)
    found = benchmark.measure(f"sqlite:///{tmp_path}/lineage.db", shape, f"sqlite:///{tmp_path}/ledger.db", rounds=2)
    assert found["entries"] == 200 and found["edges"] > 2000 and set(benchmark.TARGET_S) <= found.keys()
    benchmark.print_table("SQLite", {"small": found, "twice": found})
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    with Index.open(f"sqlite:///{tmp_path}/lineage.db") as index:
        newest = index.resolve("run-000019", ("run",))
        models = index.descendants(newest, kinds=("model",)).of("model")
        assert len(index.ancestors(models[0]).of("log")) == 10  # of 20 clips each
