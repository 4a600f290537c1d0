"""The tables of the lineage index, and how a graph is written into them.

`scope` of an edge is the run that it holds for (its node's number), or the value of its `Reach` where that is no run.
Of an edge that several runs gave, the smallest (since, run) is kept, and of a node's descriptions the one that sorts
last: so it does not matter in which order runs are added.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from flows.lineage.graph import Graph, Reach, Ref, reach

AnyRow: TypeAlias = "sa.Row[*tuple[Any, ...]]"
_METADATA = sa.MetaData()
NODES = sa.Table(
    "lineage_nodes",
    _METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("kind", "key", "attrs")),
)
ROLES = sa.Table(
    "lineage_roles", _METADATA, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text)
)
EDGES = sa.Table(
    "lineage_edges",
    _METADATA,
    *(sa.Column(name, sa.BigInteger, primary_key=True) for name in ("src", "scope", "dst", "role")),
    *(sa.Column(name, sa.BigInteger) for name in ("since", "run")),
)
RUNS = sa.Table(
    "lineage_runs",
    _METADATA,
    sa.Column("run", sa.BigInteger, primary_key=True),
    sa.Column("run_id", sa.Text),
    sa.Column("since", sa.BigInteger),
    sa.Column("statement_sha256", sa.Text),
)
PREPARED = sa.Table(
    "lineage_prepared",
    _METADATA,
    sa.Column("output", sa.BigInteger, primary_key=True),
    *(sa.Column(name, sa.BigInteger) for name in ("since", "run")),
)
_AT_ONCE = 5000
_WRITERS_LOCK = 0x776D_6C69_6E65


def chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """So many at a time as one statement may name."""
    return (values[i : i + _AT_ONCE] for i in range(0, len(values), _AT_ONCE))


def lock_writers(connection: Connection) -> None:
    """One writer at a time, until the transaction ends. (On SQLite, transactions that write begin with the lock.)"""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS_LOCK)))


def empty(connection: Connection) -> None:
    """Removes all that is in the index, if the transaction ends well. (TRUNCATE would show readers an empty index.)"""
    for table in (EDGES, NODES, ROLES, RUNS, PREPARED):
        connection.execute(sa.delete(table))


class Writer:
    """Writes graphs within one transaction that holds the writers' lock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        self._nodes: dict[Ref, tuple[int, str]] = {}
        self._roles = {row.name: row.id for row in connection.execute(sa.select(ROLES))}
        self._last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(NODES.c.id), 0))).scalar_one()
        self._fresh = self._last == 0

    def runs(self) -> dict[str, str]:
        """The digest of every run's statement that is in the index, by run."""
        return {row.run_id: row.statement_sha256 for row in self._connection.execute(sa.select(RUNS))}

    def prepared(self, since: int, run_id: str) -> set[str]:
        """Outputs of `prepare` whose clips are in the index, since before this run or as early."""
        earlier = sa.tuple_(PREPARED.c.since, NODES.c.key) <= sa.tuple_(sa.literal(since), sa.literal(run_id))
        outputs = NODES.alias()
        found = sa.select(outputs.c.key).join_from(PREPARED, outputs, outputs.c.id == PREPARED.c.output)
        return set(self._connection.execute(found.join(NODES, NODES.c.id == PREPARED.c.run).where(earlier)).scalars())

    def add(self, graph: Graph) -> None:
        """Adds what a run's records say."""
        self._add_nodes(graph.nodes)
        run = self._id(Ref("run", graph.run_id))
        edges = []
        for src, dst, role in graph.links:
            held = reach(role)
            scope = run if held is Reach.RUN else held.value
            edges.append((self._id(src), scope, self._id(dst), self._role(role), graph.since, run))
        self._upsert(EDGES, sorted(edges))
        self._upsert(PREPARED, [(self._id(Ref("output", key)), graph.since, run) for key in graph.prepared])
        self._insert_all(RUNS, [(run, graph.run_id, graph.since, graph.statement_sha256)])

    def _id(self, ref: Ref) -> int:
        return self._nodes[ref][0]

    def _role(self, name: str) -> int:
        if name not in self._roles:
            self._roles[name] = len(self._roles) + 1
            self._insert_all(ROLES, [(self._roles[name], name)])
        return int(self._roles[name])

    def _add_nodes(self, nodes: Mapping[Ref, str]) -> None:
        if not self._fresh:
            self._look_up([ref for ref in nodes if ref not in self._nodes])
        new, better = [], []
        for ref, attrs in nodes.items():
            known = self._nodes.get(ref)
            if known is None:
                self._last += 1
                self._nodes[ref] = (self._last, attrs)
                new.append((self._last, *ref, attrs))
            elif attrs > known[1]:
                self._nodes[ref] = (known[0], attrs)
                better.append({"number": known[0], "described": attrs})
        self._insert_all(NODES, new)
        if better:
            of_this = NODES.c.id == sa.bindparam("number")
            self._connection.execute(sa.update(NODES).where(of_this).values(attrs=sa.bindparam("described")), better)

    def _look_up(self, refs: Sequence[Ref]) -> None:
        for part in chunks(refs):
            found = sa.select(NODES).where(NODES.c.key.in_([ref.key for ref in part]))
            for row in self._connection.execute(found):
                self._nodes[Ref(row.kind, row.key)] = (row.id, row.attrs)

    def _insert_all(self, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            names = table.c.keys()
            self._connection.execute(sa.insert(table), [dict(zip(names, row, strict=True)) for row in rows])

    def _upsert(self, table: sa.Table, rows: Sequence[tuple[int, ...]]) -> None:
        """Inserts; where there is a row already, the smaller (since, run) stays."""
        if not rows:
            return
        insert, names = self._insert(table), table.c.keys()
        statement = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={"since": insert.excluded.since, "run": insert.excluded.run},
            where=sa.or_(
                insert.excluded.since < table.c.since,
                sa.and_(insert.excluded.since == table.c.since, _key_of("excluded.run") < _key_of(f"{table.name}.run")),
            ),
        )
        self._connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def _key_of(column: str) -> sa.ScalarSelect[str]:
    """The key of the node whose number a column of the statement around has."""
    return sa.select(NODES.c.key).where(NODES.c.id == sa.literal_column(column)).scalar_subquery()
