"""The shortest ways through the lineage graph from one node to every model behind it, in one search."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from flows.audit.books import Books
from flows.lineage.graph import PART, Reach, reach
from flows.lineage.index import Edge, Node

_State = tuple[str, str]  # a node by kind and key, as the run of this id has it; as any run, where it is empty
_Steps = dict[str, dict[str, list[Edge]]]  # from a node, as the run that alone may take them, as any
_ANY = ""


@dataclass(frozen=True)
class Way:
    """How a walk came to a model: where it began, and the edges."""

    start: Node
    edges: tuple[Edge, ...]


def ways_to_models(books: Books, start: Node, *, measured: bool = False) -> dict[str, Way]:
    """The shortest way from a node to every model behind it, by the model's digest, as of the books' time.

    Args:
        books: where the graph is.
        start: where ways begin.
        measured: ways through measurement and decision rather than through training, where there are both.
    """
    steps: _Steps = {}
    models = set()
    for edge in books.index.descendants(start, books.at, ("model",)).edges:
        run = edge.run if reach(edge.role) is Reach.RUN else _ANY
        steps.setdefault(edge.src.kind + edge.src.key, {}).setdefault(run, []).append(edge)
        if edge.dst.kind == "model":
            models.add(edge.dst.key)
    found: dict[str, Way] = {}
    for avoided in (PART, "decided") if measured else ("decided", PART):
        if models - found.keys():
            found = _search(start, steps, avoided) | found
    return found


def _search(start: Node, steps: _Steps, avoided: str) -> dict[str, Way]:
    """Breadth first, as walks of the index go: behind an edge that holds for one run, only edges of that run.

    Edges to models whose role begins with `avoided` are not taken.
    """
    first: _State = (start.kind + start.key, _ANY)
    came: dict[_State, tuple[_State, Edge] | None] = {first: None}
    found: dict[str, Way] = {}
    todo = deque([first])
    while todo:
        state = todo.popleft()
        name, run = state
        for edge in _taken(steps.get(name, {}), run):
            after = (edge.dst.kind + edge.dst.key, _scope(edge, run))
            is_model = edge.dst.kind == "model"
            if after in came or (is_model and edge.role.startswith(avoided)):
                continue
            came[after] = (state, edge)
            if is_model:
                found.setdefault(edge.dst.key, Way(start, _back(came, after)))
            todo.append(after)
    return found


def _taken(steps: dict[str, list[Edge]], run: str) -> Iterable[Edge]:
    """The edges that a walk may take which goes on as a run, or as any."""
    if run == _ANY:
        return chain.from_iterable(steps.values())
    return chain(steps.get(run, ()), steps.get(_ANY, ()))


def _scope(edge: Edge, run: str) -> str:
    """The run as which a walk goes on behind an edge."""
    held = reach(edge.role)
    if held is Reach.RUN:
        return edge.run
    return _ANY if held is Reach.DATA else run


def _back(came: dict[_State, tuple[_State, Edge] | None], state: _State) -> tuple[Edge, ...]:
    edges: list[Edge] = []
    while (step := came[state]) is not None:
        state, edge = step
        edges.append(edge)
    return tuple(reversed(edges))
