"""How fast an auditor's questions are answered, and how that grows with the number of edges.

    python -m benchmarks.audit                          10^4, 10^5 and 10^6 edges, on SQLite
    python -m benchmarks.audit --small                  10^4 alone
    python -m benchmarks.audit --postgres URL           on PostgreSQL besides; its database should be empty
    python -m benchmarks.audit --json

The history is generated and written as a rebuild writes it. The largest has 100,000 clips in four prepared versions of
thousands of shards, 5,000 logs, and 2,000 runs of 13 stages that share what did not change, with tokenizers taken from
earlier runs; its ledger has 10 entries a run. `trace` is everything that went into the newest model, its logs listed;
`impact` is everything that something went into, its models listed; each is the median over several targets. The bound
is the same trace by breadth-first search over dictionaries in memory, once loaded, which takes no heed of which run an
edge holds for. Nothing else should run meanwhile.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import sqlalchemy as sa

from flows.audit.books import Books
from flows.audit.ways import ways_to_models
from flows.ledger.bodies import RunRecorded
from flows.ledger.chain import check_chain
from flows.ledger.store import Ledger
from flows.lineage.graph import Graph, Ref
from flows.lineage.index import Index, Node
from flows.lineage.records import Records
from worldmodel.data.manifest import SPLITS

STAGES: dict[str, tuple[str, ...]] = {
    "prepare": (),
    "validate": ("prepare",),
    "train_worldrec": ("prepare", "validate"),
    "reconstruct": ("prepare", "train_worldrec"),
    "render_priors": ("prepare", "train_worldrec"),
    "train_tokenizer": ("prepare", "validate", "render_priors"),
    "worldgen_bidirectional": ("prepare", "train_tokenizer"),
    "worldgen_teacher_forcing": ("train_tokenizer", "worldgen_bidirectional"),
    "worldgen_ode_pairs": ("train_tokenizer", "worldgen_teacher_forcing"),
    "worldgen_ode_distillation": ("train_tokenizer", "worldgen_ode_pairs", "worldgen_teacher_forcing"),
    "worldgen_dmd": ("train_tokenizer", "worldgen_bidirectional", "worldgen_ode_distillation"),
    "rollout": ("prepare", "train_tokenizer", "worldgen_bidirectional", "worldgen_dmd"),
    "evaluate": ("prepare", "reconstruct", "train_worldrec", "train_tokenizer", "rollout"),
}
PARTS = {"worldrec": "train_worldrec", "tokenizer": "train_tokenizer", "worldgen": "worldgen_dmd"}
CLIPS_PER_LOG, CLIPS_PER_SHARD, SHARE, ENTRIES_PER_RUN = 20, 50, 0.85, 10
TAKES_TOKENIZER = 40  # every so many runs
TARGETS = 5
TRACE, IMPACTS = "trace", ("log", "clip", "shard", "source")
TARGET_S = {TRACE: 1.0, "chain": 10.0, **{f"impact {kind}": 1.0 for kind in IMPACTS}}


@dataclass(frozen=True)
class Shape:
    """How much history: clips in all, prepared versions of `SHARE` of them each, and runs."""

    clips: int
    runs: int
    versions: int = 4


SHAPES = {"10^4": Shape(1_000, 20), "10^5": Shape(10_000, 200), "10^6": Shape(100_000, 2_000)}


def name(*parts: object) -> str:
    """A digest for a name."""
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()


def graphs(shape: Shape) -> Iterator[Graph]:
    """Every run's part of the graph, oldest first.

    Run i works on version i * versions // runs. From its stage (5 i mod 13) on it makes outputs of its own; before it,
    it finds those of the run before, but for the first of a version. Verdicts of `validate` are all equal.
    """
    outputs: dict[str, str] = {}
    tokenizers: list[str] = []
    for i in range(shape.runs):
        version = i * shape.versions // shape.runs
        first = i == 0 or version != (i - 1) * shape.versions // shape.runs
        graph = Graph(f"run-{i:06d}", i * 1_000_000, name("statement", i))
        run = graph.node("run", graph.run_id, {"status": "promoted"})
        fresh = 0 if first else 2 + 5 * i % (len(STAGES) - 2)
        taken = tokenizers[i // 2] if i % TAKES_TOKENIZER == TAKES_TOKENIZER - 1 else ""
        for number, stage in enumerate(STAGES):
            ran = number >= fresh
            if ran:
                outputs[stage] = name(stage, "prepared", version) if stage == "prepare" else name(stage, i)
            if stage == "validate":
                outputs[stage] = name(stage)
            _add_stage(graph, run, outputs, stage, ran)
            if stage == "train_tokenizer":
                tokenizers.append(_add_tokenizer(graph, outputs[stage], taken if ran else ""))
        if first:
            _add_data(graph, shape, version, outputs["prepare"])
        _add_model(graph, run, outputs, tokenizers[-1])
        yield graph


def _add_stage(graph: Graph, run: Ref, outputs: dict[str, str], stage: str, ran: bool) -> None:
    output = graph.node("output", outputs[stage], {"stage": stage})
    graph.link(run, output, "ran" if ran else "cached")
    graph.link(graph.node("code", name("code", run.key)), output, "code")
    graph.link(graph.node("params", name("params", output.key), {"stage": stage}), output, "params")
    graph.link(graph.node("environment", name("environment"), {"torch": "2.13.0"}), output, "environment")
    for parent in STAGES[stage]:
        graph.link(graph.node("output", outputs[parent]), output, "input")
    if stage.startswith(("train_worldrec", "worldgen")) and stage != "worldgen_ode_pairs":
        graph.link(output, graph.node("weights", name("weights", output.key)), "file")


def _add_tokenizer(graph: Graph, output: str, taken: str) -> str:
    """The tokenizer of an output: its own, or one that was taken."""
    weights = taken or name("tokenizer", output)
    node = graph.node("weights", weights)
    if taken:
        network = graph.node("network", taken)
        graph.link(node, network, "pretrained")
        graph.link(network, graph.node("output", output), "network")
    else:
        graph.link(graph.node("output", output), node, "file")
    return weights


def _add_data(graph: Graph, shape: Shape, version: int, prepared: str) -> None:
    """The clips of a version: all but every so many, and others left out in each version."""
    output, source = graph.node("output", prepared), graph.node("source", f"drives@{name('drives')}")
    graph.link(source, output, "source")
    left_out = round(1 / (1 - SHARE))
    kept = [clip for clip in range(shape.clips) if clip % left_out != version]
    for place, clip in enumerate(kept):
        log = graph.node("log", f"log-{clip // CLIPS_PER_LOG:06d}")
        node = graph.node("clip", f"log-{clip // CLIPS_PER_LOG:06d}-clip-{clip % CLIPS_PER_LOG:03d}")
        shard = graph.node("shard", name("shard", version, place // CLIPS_PER_SHARD))
        split = ("test", "val")[clip % 20 // 10] if clip % 10 == 0 else "train"
        graph.link(source, log, "contains")
        graph.link(log, node, "contains")
        graph.link(node, output, split)
        graph.link(node, shard, "packed")
        graph.link(shard, output, "part")
    graph.prepared.append(prepared)


def _add_model(graph: Graph, run: Ref, outputs: dict[str, str], tokenizer: str) -> None:
    weights = {part: name("weights", outputs[stage]) for part, stage in PARTS.items()} | {"tokenizer": tokenizer}
    model = graph.node("model", name("model", *sorted(weights.values())), {"name": "generated"})
    for part, digest in weights.items():
        graph.link(graph.node("weights", digest), model, f"part:{part}")
    report, decision = graph.node("report", name("report", outputs["evaluate"])), graph.node("decision", name(run.key))
    graph.link(graph.node("output", outputs["evaluate"]), report, "report")
    graph.link(report, decision, "report")
    graph.link(run, decision, "decided")
    graph.link(decision, model, "decided")


def measure(url: str, shape: Shape, ledger_url: str, rounds: int = TARGETS) -> dict[str, float]:
    """Seconds by question, edges, edges a second of a rebuild, and megabytes of the index; in an empty store.

    `trace / bound` is the ratio of a trace to a search in memory.
    """
    parts = list(graphs(shape))
    with Index.open(url) as index:
        begun = time.perf_counter()
        index.replace(parts)
        written = time.perf_counter() - begun
        edges = index.counts().edges
        newest = index.resolve(_models(parts)[-1].key, ("model",))
        found = {"edges": float(edges), "write, edges/s": edges / written, "size, MB": size_mb(url)}
        found[TRACE] = median([lambda: len(index.ancestors(newest).of("log"))] * rounds)
        found["trace of one run"] = median(
            [lambda: len(index.ancestors(newest, run=parts[-1].run_id).of("log"))] * rounds
        )
        for kind in IMPACTS:
            targets = _some(index, parts, kind, rounds)
            found[f"impact {kind}"] = median([partial(_impact, index, node) for node in targets])
        logs = _some(index, parts, "log", rounds)
        ledger = Ledger.open(ledger_url)
        books = Books(None, Path(), Records(Path()), ledger, index, None)
        found["impact log, ways"] = median([partial(_ways, books, node) for node in logs])
        ledger.close()
        found["path"] = median([partial(_steps, index, log, newest) for log in logs])
        found["trace / bound"] = found[TRACE] / bound(parts, newest, rounds)
    found |= chain(ledger_url, shape.runs * ENTRIES_PER_RUN)
    return found


def _impact(index: Index, node: Node) -> int:
    return len(index.descendants(node, kinds=("model",)).of("model"))


def _ways(books: Books, log: Node) -> int:
    """The shortest way to every model from each prepared output that holds the log, as `audit impact` has it."""
    clips = [edge.dst for edge in books.index.edges_from(log, ("contains",))]
    outputs = {edge.dst for clip in clips for edge in books.index.edges_from(clip, SPLITS)}
    return len({model for output in outputs for model in ways_to_models(books, output)})


def _steps(index: Index, src: Node, dst: Node) -> int:
    return len(index.path(src, dst))


def bound(parts: list[Graph], start: Node, rounds: int) -> float:
    """Seconds of a breadth-first search through dictionaries."""
    into: dict[Ref, list[Ref]] = defaultdict(list)
    for graph in parts:
        for link in graph.links:
            into[link.dst].append(link.src)

    def search() -> int:
        seen, last = {Ref(start.kind, start.key)}, [Ref(start.kind, start.key)]
        while last:
            last = list({src for node in last for src in into.get(node, ())} - seen)
            seen.update(last)
        return sum(ref.kind == "log" for ref in seen)

    return median([search] * rounds)


def chain(url: str, entries: int) -> dict[str, float]:
    """Seconds to check the chain of a ledger with so many more entries, and how many it has."""
    ledger = Ledger.open(url)
    bodies = [
        RunRecorded(
            run_id=f"run-{i:06d}",
            statement_sha256=name(i),
            keyid=name("key"),
            status="promoted",
            snapshot=name("snapshot", i)[:40],
            dirty=False,
        )
        for i in range(entries)
    ]
    last = ledger.append_all(bodies, "benchmark")[-1]
    begun = time.perf_counter()
    findings = check_chain(ledger.entries())
    took = time.perf_counter() - begun
    ledger.close()
    if findings:
        raise SystemExit(f"the chain does not hold: {findings[0]}")
    return {"chain": took, "entries": float(last.sequence)}


def median(asked: Sequence[Callable[[], int]]) -> float:
    """The median seconds of questions, each of which must find something."""
    taken = []
    for ask in asked:
        begun = time.perf_counter()
        count = ask()
        taken.append(time.perf_counter() - begun)
        if not count:
            raise SystemExit("a question found nothing: the generated history is not what it should be")
    return statistics.median(taken)


def size_mb(url: str) -> float:
    """Megabytes of a store, its journal written back."""
    engine = sa.create_engine(sa.make_url(url).set(drivername=None) if url.startswith("sqlite") else _psycopg(url))
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return Path(str(engine.url.database)).stat().st_size / 1e6
        tables = ("lineage_nodes", "lineage_edges", "lineage_roles", "lineage_runs", "lineage_prepared")
        sizes = [connection.execute(sa.select(sa.func.pg_total_relation_size(table))).scalar_one() for table in tables]
        return float(sum(sizes)) / 1e6


def _psycopg(url: str) -> sa.URL:
    return sa.make_url(url).set(drivername="postgresql+psycopg")


def _models(parts: list[Graph]) -> list[Ref]:
    return [ref for graph in parts for ref in graph.nodes if ref.kind == "model"]


def _some(index: Index, parts: list[Graph], kind: str, count: int) -> list[Node]:
    """Nodes of a kind, spread over those that the first version has."""
    refs = [ref for ref in parts[0].nodes if ref.kind == kind]
    chosen = [refs[i * len(refs) // count] for i in range(count)]
    return [index.resolve(ref.key, (kind,)) for ref in chosen]


def run(shapes: dict[str, Shape], postgres: str | None) -> dict[str, dict[str, dict[str, float]]]:
    """What was measured, by store and size."""
    found: dict[str, dict[str, dict[str, float]]] = {"SQLite": {}}
    with tempfile.TemporaryDirectory() as folder:
        for size, shape in shapes.items():
            place = f"sqlite:///{folder}/{shape.runs}"
            found["SQLite"][size] = measure(f"{place}-lineage.db", shape, f"{place}-ledger.db")
            if postgres:
                measured = measure(postgres, shape, postgres)
                found.setdefault("PostgreSQL", {})[size] = measured
    return found


def print_table(store: str, sizes: dict[str, dict[str, float]]) -> None:
    """80 columns: a row a figure, a column a size, and by how much the figure grows with ten times the edges."""
    print(f"\n{store:<24}" + "".join(f"{size:>12}" for size in sizes) + ("      growth" if len(sizes) > 1 else ""))
    for figure in next(iter(sizes.values())):
        values = [measured[figure] for measured in sizes.values()]
        target = f"  < {TARGET_S[figure]:g} s" if figure in TARGET_S else ""
        steps = [after / before for before, after in pairwise(values)]
        growth = "  " + " ".join(f"x{step:.1f}" for step in steps) if steps else ""
        print(f"{figure:<24}" + "".join(f"{_shown(value):>12}" for value in values) + growth + target)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="10^4 edges alone")
    parser.add_argument("--postgres", metavar="URL", help="measure there besides")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = run({"10^4": SHAPES["10^4"]} if options.small else SHAPES, options.postgres)
    if options.json:
        print(json.dumps(found))
        return
    for store, sizes in found.items():
        print_table(store, sizes)


if __name__ == "__main__":
    main()
