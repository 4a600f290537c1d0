"""What the lineage index answers with: nodes, edges and closures; and how they are read out of its tables."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.selectable import NamedFromClause

from flows.lineage.tables import EDGES, NODES, ROLES, AnyRow


@dataclass(frozen=True, slots=True)
class Node:
    """Something in the graph."""

    kind: str
    key: str
    attrs: dict[str, Any] = field(compare=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """`src` went into `dst`, as `role`; the first run that says so, and when it ended (in the ledger's words)."""

    src: Node
    dst: Node
    role: str
    run: str
    since: str


class Closure:
    """All that went into a node, or all that it went into, the node itself left out.

    Nodes are made when they are asked for, and edges read then: a closure may have hundreds of thousands.

    Attributes:
        counts: how many nodes by kind.
    """

    def __init__(self, rows: Mapping[str, list[AnyRow]], edges: Callable[[], list[Edge]]) -> None:
        self._rows, self._read_edges = rows, edges
        self._nodes: dict[str, list[Node]] = {}
        self.counts = {kind: len(found) for kind, found in rows.items()}

    def of(self, kind: str) -> list[Node]:
        """The nodes of a kind, by key."""
        if kind not in self._nodes:
            self._nodes[kind] = sorted((to_node(row) for row in self._rows.get(kind, ())), key=lambda node: node.key)
        return self._nodes[kind]

    def keys(self, kind: str) -> set[str]:
        """The keys of the nodes of a kind."""
        return {row.key for row in self._rows.get(kind, ())}

    @property
    def nodes(self) -> dict[str, list[Node]]:
        """All nodes by kind, each by key."""
        return {kind: self.of(kind) for kind in self._rows}

    @property
    def edges(self) -> list[Edge]:
        """The edges that lead to them."""
        return self._read_edges()


def edge_query(
    edges: sa.FromClause,
) -> tuple["sa.Select[*tuple[Any, ...]]", list[NamedFromClause]]:
    """Edges with both nodes, role and run; `edges` is their table or a join that holds it.

    With it come the tables of the two nodes and of the run, to order by.
    """
    src, dst, run = NODES.alias("s"), NODES.alias("d"), NODES.alias("r")
    joined = edges.join(src, src.c.id == EDGES.c.src).join(dst, dst.c.id == EDGES.c.dst)
    joined = joined.join(ROLES, ROLES.c.id == EDGES.c.role).join(run, run.c.id == EDGES.c.run)
    ends = [
        column.label(f"{name}_{column.name}")
        for name, end in (("src", src), ("dst", dst))
        for column in (end.c.kind, end.c.key, end.c.attrs)
    ]
    said = (ROLES.c.name.label("role"), run.c.key.label("run"), EDGES.c.since)
    return sa.select(*ends, *said).select_from(joined), [src, dst, run]


def this_edge(row: AnyRow) -> sa.ColumnElement[bool]:
    """The edge of a row of the edges' table."""
    return sa.and_(*(column == getattr(row, column.name) for column in EDGES.primary_key.columns))


def to_node(row: AnyRow) -> Node:
    """The node in a row of the nodes' table."""
    return _node(row.kind, row.key, row.attrs)


def to_edge(row: AnyRow) -> Edge:
    """The edge in a row of `edge_query`."""
    src = _node(row.src_kind, row.src_key, row.src_attrs)
    dst = _node(row.dst_kind, row.dst_key, row.dst_attrs)
    return Edge(src, dst, row.role, row.run, time_text(row.since))


@lru_cache(maxsize=16384)  # a closure names a node once for each of its edges
def _node(kind: str, key: str, attrs: str) -> Node:
    return Node(kind, key, json.loads(attrs) if attrs else {})


@lru_cache(maxsize=16384)  # as many as runs
def time_text(since: int) -> str:
    """A time of the index's tables in the ledger's words."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
