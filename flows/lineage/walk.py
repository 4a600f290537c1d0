"""Walks over the edges of the index: everything before or behind a node, and a shortest way between two.

A walk is at a node as some run has it (`scope`: the number of the run, 0 for any): by an edge that holds for one run it
leaves as that run, and only by edges of that run, until it comes to data or to weights that were taken from elsewhere
(`Reach.DATA`), where any run will do again. Whether a way is a walk does not depend on the direction it is read in.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from flows.lineage.graph import Reach
from flows.lineage.tables import EDGES, AnyRow, chunks

ANY_RUN, _LAST = 0, 2**62
State = tuple[int, int]


@dataclass(frozen=True)
class Way:
    """Which edges count.

    Attributes:
        up: towards what went in, rather than towards what came out.
        at: only edges since then or before, in microseconds since 1970 UTC; None for all.
    """

    up: bool
    at: int | None = None


def visited(start: int, scope: int, way: Way) -> sa.CTE:
    """The states (node, scope) that a walk from a state comes to, itself included: a recursive query."""
    number = sa.BigInteger
    walk = sa.select(sa.cast(start, number).label("node"), sa.cast(scope, number).label("scope")).cte(
        "walk", recursive=True
    )
    _, there = _ends(way)
    after = sa.case(
        (EDGES.c.scope == Reach.DATA.value, sa.literal(ANY_RUN, number)),
        (EDGES.c.scope == Reach.CONTENT.value, walk.c.scope),
        else_=EDGES.c.scope,
    )
    return walk.union(sa.select(there, after).select_from(steps(walk, way)))


def steps(walk: sa.CTE, way: Way) -> sa.FromClause:
    """The edges by which a walk leaves its states, each joined to its state.

    The edges of a node lie in the order of their scopes. A state of any run takes one range of them, a state of one run
    two: those that hold for every run, and those of its run.
    """
    here, _ = _ends(way)
    number = sa.BigInteger
    ranges = sa.union_all(
        sa.select(sa.literal(0, number).label("own")), sa.select(sa.literal(1, number).label("own"))
    ).subquery("ranges")
    any_run, own = walk.c.scope == ANY_RUN, ranges.c.own == 1
    low = sa.case((own, walk.c.scope), else_=Reach.DATA.value)
    high = sa.case((own, walk.c.scope), (any_run, _LAST), else_=Reach.CONTENT.value)
    # `own - own` makes a database begin with state and range: it would read all edges of a node, and then choose
    place = walk.c.node + (ranges.c.own - ranges.c.own)
    taken = sa.and_(here == place, EDGES.c.scope >= low, EDGES.c.scope <= high)
    if way.at is not None:
        taken = sa.and_(taken, EDGES.c.since <= way.at)
    return walk.join(ranges, sa.not_(sa.and_(any_run, own))).join(EDGES, taken)


def _ends(way: Way) -> tuple[sa.ColumnElement[int], sa.ColumnElement[int]]:
    """The columns of an edge where a walk comes from, and where it goes."""
    return (EDGES.c.dst, EDGES.c.src) if way.up else (EDGES.c.src, EDGES.c.dst)


class _Front:
    """One end of the search for a shortest way: the states it has come to, and by which edge from which state."""

    def __init__(self, start: int, way: Way) -> None:
        self.way = way
        self.came: dict[State, tuple[State, AnyRow] | None] = {(start, ANY_RUN): None}
        self.scopes: dict[int, set[int]] = defaultdict(set, {start: {ANY_RUN}})
        self.edge_of_the_search: set[State] = set(self.came)

    def step(self, connection: Connection) -> None:
        """Goes one edge further from all states that it came to last."""
        by_node: dict[int, list[int]] = defaultdict(list)
        for node, scope in self.edge_of_the_search:
            by_node[node].append(scope)
        self.edge_of_the_search = set()
        for edge in _edges_of(connection, list(by_node), self.way):
            here, there = (edge.dst, edge.src) if self.way.up else (edge.src, edge.dst)
            for scope in by_node[here]:
                if edge.scope > 0 and scope not in (ANY_RUN, edge.scope):
                    continue
                after = ANY_RUN if edge.scope == Reach.DATA.value else edge.scope or scope
                if (there, after) not in self.came:
                    self.came[there, after] = ((here, scope), edge)
                    self.scopes[there].add(after)
                    self.edge_of_the_search.add((there, after))

    def way_to(self, state: State) -> Iterator[AnyRow]:
        """The edges back from a state to the start."""
        while (step := self.came[state]) is not None:
            state, edge = step
            yield edge


def shortest(connection: Connection, src: int, dst: int, at: int | None) -> list[AnyRow] | None:
    """The edges of a shortest walk from src to dst, or None where there is none."""
    down, up = _Front(src, Way(up=False, at=at)), _Front(dst, Way(up=True, at=at))
    while True:
        met = _meeting(down, up)
        if met is not None:
            return [*reversed(list(down.way_to(met[0]))), *up.way_to(met[1])]
        smaller = min(down, up, key=lambda front: len(front.edge_of_the_search))
        if not smaller.edge_of_the_search:
            return None
        smaller.step(connection)


def _meeting(down: _Front, up: _Front) -> tuple[State, State] | None:
    """Where the two have met as one run."""
    for node in down.scopes.keys() & up.scopes.keys():
        for one in sorted(down.scopes[node]):
            for other in sorted(up.scopes[node]):
                if one == other or ANY_RUN in (one, other):
                    return (node, one), (node, other)
    return None


def _edges_of(connection: Connection, nodes: list[int], way: Way) -> Iterable[AnyRow]:
    here, _ = _ends(way)
    for part in chunks(sorted(nodes)):
        found = sa.select(EDGES).where(here.in_(part), EDGES.c.scope >= Reach.DATA.value)
        yield from connection.execute(found if way.at is None else found.where(EDGES.c.since <= way.at))
