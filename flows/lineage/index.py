"""The lineage index: the graph of all runs' records, in SQL, for questions.

It is derived: `rebuild` makes it anew from the records alone, and equal to what adding the runs one by one made, in
whatever order. It holds what statements say and trusts none of them; `worldmodel audit verify` decides on trust.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from flows.lineage.answers import Closure as Closure
from flows.lineage.answers import Edge as Edge
from flows.lineage.answers import Node as Node
from flows.lineage.answers import edge_query, this_edge, time_text, to_edge, to_node
from flows.lineage.graph import KINDS, Graph, microseconds, run_graph
from flows.lineage.records import Records, RunStatement
from flows.lineage.tables import EDGES, NODES, ROLES, RUNS, AnyRow, Writer, empty, lock_writers
from flows.lineage.walk import ANY_RUN, Way, shortest, steps, visited
from flows.stores import answering, open_store, writing
from worldmodel.errors import LedgerError, RecordError

INDEX_VARIABLE = "WORLDMODEL_LINEAGE_URL"
REBUILD = "worldmodel audit index --rebuild"
_SHORTEST_PREFIX, _CANDIDATES = 4, 6
_DAMAGED = {11, 26}  # SQLITE_CORRUPT, SQLITE_NOTADB


@dataclass(frozen=True)
class Counts:
    """What is in the index: nodes by kind, edges, runs."""

    nodes: dict[str, int]
    edges: int
    runs: int


_NOTHING = Counts({}, edges=0, runs=0)


def index_url(state: Path) -> str:
    """The index's URL: `$WORLDMODEL_LINEAGE_URL`, else a file in the state directory."""
    return os.environ.get(INDEX_VARIABLE) or f"sqlite:///{state}/lineage.db"


class Index:
    """The lineage index behind a URL. Reading never writes; `catch_up` and `rebuild` do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = self._readers = engine
        if engine.dialect.name == "postgresql":
            self._readers = engine.execution_options(isolation_level="REPEATABLE READ")

    @classmethod
    def open(cls, url: str) -> Self:
        """The index, made empty where there is none.

        Raises:
            LedgerError: it cannot be reached, a newer version wrote it, or its file is damaged.
        """
        try:
            return cls(open_store(url, "lineage"))
        except LedgerError as error:
            raise _damaged(url, error.__cause__) or error from None

    def close(self) -> None:
        """Lets go of the store."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rebuild(self, records: Records) -> Counts:
        """Makes the index anew, in one transaction: a reader sees the old one or the new one, and so after a kill.

        Raises:
            RecordError, SigningError: a record cannot be used; names run and record, and leaves the index as it was.
        """
        runs = [records.run(run_id) for run_id in records.run_ids()]
        oldest_first = sorted(runs, key=lambda run: (_ended(run), run.run_id))
        known: set[str] = set()

        def parts() -> Iterator[Graph]:
            for run in oldest_first:
                graph = run_graph(records, run, known)
                known.update(graph.prepared)
                yield graph

        return self.replace(parts())

    def replace(self, graphs: Iterable[Graph]) -> Counts:
        """Puts these in place of all that is in the index, in one transaction."""
        with self.writer(anew=True) as writer:
            for graph in graphs:
                writer.add(graph)
        self._tidy()
        return self.counts()

    @contextmanager
    def writer(self, *, anew: bool = False) -> Iterator[Writer]:
        """What adds graphs, all of them or none; `anew` removes what was there."""
        with self._usable(), writing(self._engine) as connection:
            lock_writers(connection)
            if anew:
                empty(connection)
            yield Writer(connection)

    def catch_up(self, records: Records) -> int:
        """Adds the runs that are not in the index yet, each in one transaction; returns how many.

        Raises:
            RecordError, SigningError: a record cannot be used, or the statement of a run in the index is gone.
        """
        missing = self.behind(records)
        added = 0
        for run_id in missing:
            with self.writer() as writer:
                if run_id not in writer.runs():  # else another process was quicker
                    run = records.run(run_id)
                    writer.add(run_graph(records, run, writer.prepared(_ended(run), run_id)))
                    added += 1
        return added

    def behind(self, records: Records) -> list[str]:
        """The runs that have records and are not in the index.

        Raises:
            RecordError: the index has runs whose statements are gone.
        """
        with self._reading() as connection:
            known = set(connection.execute(sa.select(RUNS.c.run_id)).scalars())
        there = records.run_ids()
        gone = sorted(known.difference(there))
        if gone:
            raise RecordError(
                f"{records.folder}: the statement of run {gone[0]} is gone"
                + (f", and {len(gone) - 1} more" if gone[1:] else ""),
                expected="every run that is in the lineage index",
                fix=f"restore the records from a backup; or, to go on without: {REBUILD}",
            )
        return [run_id for run_id in there if run_id not in known]

    def counts(self) -> Counts:
        """How much there is."""
        with self._reading() as connection:
            kinds = connection.execute(sa.select(NODES.c.kind, sa.func.count()).group_by(NODES.c.kind))
            nodes = dict(sorted(tuple(row) for row in kinds))
            edges, runs = (_count(connection, table) for table in (EDGES, RUNS))
        return Counts(nodes, edges, runs)

    def dump(self) -> Iterator[str]:
        """Everything in the index as canonical lines in a fixed order: equal indexes, equal lines."""
        with self._reading() as connection:
            nodes = sa.select(NODES.c.kind, NODES.c.key, NODES.c.attrs).order_by(NODES.c.kind, NODES.c.key)
            runs = sa.select(RUNS.c.run_id, RUNS.c.since, RUNS.c.statement_sha256).order_by(RUNS.c.run_id)
            edges, [src, dst, run] = edge_query(EDGES)
            edges = edges.order_by(src.c.kind, src.c.key, dst.c.kind, dst.c.key, ROLES.c.name, run.c.key)
            for row in connection.execute(nodes):
                yield json.dumps(["node", *row])
            for row in connection.execute(runs):
                yield json.dumps(["run", *row])
            for row in connection.execution_options(yield_per=10_000).execute(edges):
                edge = to_edge(row)
                ends = (edge.src.kind, edge.src.key, edge.dst.kind, edge.dst.key)
                yield json.dumps(["edge", *ends, edge.role, edge.run, edge.since])

    def digest(self) -> str:
        """sha256 (hex) of the dump."""
        total = sha256()
        for line in self.dump():
            total.update(f"{line}\n".encode())
        return total.hexdigest()

    def resolve(self, text: str, kinds: tuple[str, ...] = ()) -> Node:
        """The node of this key, or the only one whose key begins so (at least 4 characters).

        `KIND:KEY` looks in one kind.

        Raises:
            RecordError: there is none, or there are several.
        """
        kind, colon, rest = text.partition(":")
        if colon and kind in (kinds or KINDS) and not self._find(text, kinds or KINDS, exact=True):
            return self.resolve(rest, (kind,))
        looked = kinds or KINDS
        found = self._find(text, looked, exact=True)
        if not found and len(text) >= _SHORTEST_PREFIX:
            found = self._find(text, looked, exact=False)
        if len(found) == 1:
            return found[0]
        if not found:
            raise RecordError(
                f"nothing in the lineage index is called {text}",
                expected=f"the key of a {' or '.join(looked)}, or its first {_SHORTEST_PREFIX} or more characters",
                got=text,
                fix="worldmodel runs; or bring the index up to date: worldmodel audit index",
            )
        named = [f"{node.kind}:{node.key}" for node in found[:_CANDIDATES]]
        more = ["..."] if found[_CANDIDATES:] else []
        fix = "give more characters, or the kind: KIND:KEY"
        raise RecordError(f"{text} names several things", expected="one", got=", ".join(named + more), fix=fix)

    def ancestors(self, node: Node, at: str | None = None, *, run: str | None = None) -> Closure:
        """All that went into a node.

        What several runs made alike has the ancestors of each of these runs; `run` keeps to those of one. The reports
        of champions that a decision compared with are left out: see `edges_into(decision, ("champion",))`.

        Args:
            node: from `resolve`.
            at: as the graph was then; None for now.
            run: the id of the run whose making of it is meant; None for all.

        Raises:
            RecordError: no such run.
        """
        maker = None if run is None else self.resolve(run, ("run",))
        return self._closure(node, Way(up=True, at=_moment(at)), maker=maker)

    def descendants(self, node: Node, at: str | None = None, kinds: tuple[str, ...] = ()) -> Closure:
        """All that a node went into, through whatever chain; `kinds` are those that are listed (all if empty)."""
        return self._closure(node, Way(up=False, at=_moment(at)), kinds=kinds)

    def path(self, src: Node, dst: Node, at: str | None = None) -> list[Edge]:
        """A shortest way from src to dst, edge by edge; empty where there is none."""
        with self._reading() as connection:
            rows = shortest(connection, _number(connection, src), _number(connection, dst), _moment(at)) or []
            return [edge for row in rows for edge in self._edges(connection, this_edge(row))]

    def edges_into(self, node: Node, roles: tuple[str, ...] = ()) -> list[Edge]:
        """The edges that end at a node, of these roles (all if empty), in a fixed order."""
        return self._edges_at(EDGES.c.dst, node, roles)

    def edges_from(self, node: Node, roles: tuple[str, ...] = ()) -> list[Edge]:
        """The edges that begin at a node, of these roles (all if empty), in a fixed order."""
        return self._edges_at(EDGES.c.src, node, roles)

    def _edges_at(self, end: sa.ColumnElement[int], node: Node, roles: tuple[str, ...]) -> list[Edge]:
        with self._reading() as connection:
            which = end == _number(connection, node)
            return self._edges(connection, sa.and_(which, ROLES.c.name.in_(roles)) if roles else which)

    def _edges(self, connection: Connection, which: sa.ColumnElement[bool]) -> list[Edge]:
        query, _ = edge_query(EDGES)
        found = [to_edge(row) for row in connection.execute(query.where(which))]
        return sorted(found, key=lambda e: (e.role, e.src.kind, e.src.key, e.dst.kind, e.dst.key, e.since, e.run))

    def _closure(self, start: Node, way: Way, *, maker: Node | None = None, kinds: tuple[str, ...] = ()) -> Closure:
        rows: dict[str, list[AnyRow]] = defaultdict(list)
        with self._reading() as connection:
            reached = sa.select(_walk(connection, start, way, maker).c.node).distinct().subquery()
            query = sa.select(NODES.c.kind, NODES.c.key, NODES.c.attrs)
            query = query.join(reached, reached.c.node == NODES.c.id).where(NODES.c.id != _number(connection, start))
            for row in connection.execute(query.where(NODES.c.kind.in_(kinds)) if kinds else query):
                rows[row[0]].append(row)
        return Closure(dict(sorted(rows.items())), lambda: self._walked(start, way, maker))

    def _walked(self, start: Node, way: Way, maker: Node | None) -> list[Edge]:
        """Numbers first, names after: a join with the names of both ends would sort by them."""
        with self._reading() as connection:
            walk = _walk(connection, start, way, maker)
            reached = sa.select(walk.c.node).distinct().subquery()
            found = sa.select(NODES).join(reached, reached.c.node == NODES.c.id)
            nodes = {row.id: to_node(row) for row in connection.execute(found)}
            edges = connection.execute(sa.select(*EDGES.c).select_from(steps(walk, way)).distinct()).all()
            roles = {row.id: row.name for row in connection.execute(sa.select(ROLES))}
            runs = {row.run: (row.run_id, time_text(row.since)) for row in connection.execute(sa.select(RUNS))}
        return [Edge(nodes[row.src], nodes[row.dst], roles[row.role], *runs[row.run]) for row in edges]

    def _find(self, text: str, kinds: tuple[str, ...], *, exact: bool) -> list[Node]:
        key = NODES.c.key
        which = key == text if exact else sa.and_(key >= text, key < text + "\U0010ffff")
        query = sa.select(NODES).where(which, NODES.c.kind.in_(kinds)).order_by(NODES.c.kind, key)
        with self._reading() as connection:
            return [to_node(row) for row in connection.execute(query.limit(_CANDIDATES + 1))]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One view of the index, whatever is written meanwhile."""
        with self._usable(), self._readers.connect() as connection:
            if connection.dialect.name == "postgresql":  # measured: else walks over a million edges spill and compile
                connection.execute(sa.text("SET LOCAL work_mem = '64MB'"))
                connection.execute(sa.text("SET LOCAL jit = off"))
            yield connection

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Turns what the store raises into an error with a way out."""
        try:
            with answering(self._engine.url):
                yield
        except LedgerError as error:
            raise _damaged(str(self._engine.url), error.__cause__) or error from None

    def _tidy(self) -> None:
        """Lets PostgreSQL see that its indexes hold all that walks read."""
        if self._engine.dialect.name == "postgresql":
            with self._usable(), self._engine.connect() as connection:
                outside = connection.execution_options(isolation_level="AUTOCOMMIT")
                for table in (NODES, EDGES):
                    outside.execute(sa.text(f"VACUUM (ANALYZE) {table.name}"))


@dataclass(frozen=True)
class Rebuilt:
    """An index made anew.

    Attributes:
        equal: whether it is as it was; None where there was nothing to compare with.
        first: that is because nothing was in it yet, and not because it could not be read.
    """

    counts: Counts
    equal: bool | None
    first: bool
    digest: str


def rebuild_index(url: str, records: Records) -> Rebuilt:
    """Makes the index anew and compares; a damaged SQLite file is removed first.

    Raises:
        LedgerError: the store cannot be reached, or a newer version wrote it.
        RecordError, SigningError: see `Index.rebuild`.
    """
    before, first = None, False
    try:
        with Index.open(url) as index:
            before, first = index.digest(), index.counts() == _NOTHING
    except LedgerError as error:
        if REBUILD not in error.fix:
            raise
        file = Path(str(sa.make_url(url).database))
        for path in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
            path.unlink(missing_ok=True)
    with Index.open(url) as index:
        counts = index.rebuild(records)
        after = index.digest()
    equal = None if before is None or first else before == after
    return Rebuilt(counts, equal, first, after)


def _walk(connection: Connection, start: Node, way: Way, maker: Node | None) -> sa.CTE:
    scope = ANY_RUN if maker is None else _number(connection, maker)
    return visited(_number(connection, start), scope, way)


def _number(connection: Connection, node: Node) -> int:
    """The number that the index has for a node now; another index, or a later one, has another."""
    which = sa.and_(NODES.c.key == node.key, NODES.c.kind == node.kind)
    found = connection.execute(sa.select(NODES.c.id).where(which)).scalar_one_or_none()
    if found is None:
        fix = "bring the index up to date: worldmodel audit index"
        raise RecordError(f"{node.kind} {node.key} is not in the lineage index", got=node.key, fix=fix)
    return int(found)


def _ended(run: RunStatement) -> int:
    return microseconds(run.facts.ended_at, f"run {run.run_id}, ended_at")


def _damaged(url: str, cause: BaseException | None) -> LedgerError | None:
    code = getattr(getattr(cause, "orig", None), "sqlite_errorcode", 0) if isinstance(cause, DatabaseError) else 0
    if code & 0xFF not in _DAMAGED:
        return None
    return LedgerError(
        f"{url}: the file of the lineage index is damaged",
        got=str(getattr(cause, "orig", "")),
        fix=f"nothing is lost, it is derived from the records: {REBUILD}",
    )


def _moment(at: str | None) -> int | None:
    return None if at is None else microseconds(at, "at")


def _count(connection: Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
