"""The shortest ways through the lineage graph from one node to every model behind it, in one search."""

from collections import deque
from dataclasses import dataclass

from flows.audit.books import Books
from flows.lineage.graph import PART, Reach, reach
from flows.lineage.index import Edge, Node

_State = tuple[str, str]  # a node by kind and key, as the run of this id has it; as any run, where it is empty
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
    steps: dict[str, list[Edge]] = {}
    models = set()
    for edge in books.index.descendants(start, books.at, ("model",)).edges:
        steps.setdefault(edge.src.kind + edge.src.key, []).append(edge)
        if edge.dst.kind == "model":
            models.add(edge.dst.key)
    found: dict[str, Way] = {}
    for avoided in (PART, "decided") if measured else ("decided", PART):
        if models - found.keys():
            found = _search(start, steps, avoided) | found
    return found


def _search(start: Node, steps: dict[str, list[Edge]], avoided: str) -> dict[str, Way]:
    """Breadth first, as walks of the index go: behind an edge that holds for one run, only edges of that run.

    Edges to models whose role begins with `avoided` are not taken.
    """
    first: _State = (start.kind + start.key, _ANY)
    came: dict[_State, tuple[_State, Edge] | None] = {first: None}
    found: dict[str, Way] = {}
    todo = deque([first])
    held = {edge.role: reach(edge.role) for edges in steps.values() for edge in edges}
    while todo:
        state = todo.popleft()
        name, run = state
        for edge in steps.get(name, ()):
            scope = _scope(held[edge.role], edge.run, run)
            after = (edge.dst.kind + edge.dst.key, scope or _ANY)
            is_model = edge.dst.kind == "model"
            if scope is None or after in came or (is_model and edge.role.startswith(avoided)):
                continue
            came[after] = (state, edge)
            if is_model:
                found.setdefault(edge.dst.key, Way(start, _back(came, after)))
            todo.append(after)
    return found


def _scope(held: Reach, run_of_edge: str, run: str) -> str | None:
    """The run as which a walk goes on behind an edge; None where it may not take it."""
    if held is Reach.RUN:
        return run_of_edge if run in (_ANY, run_of_edge) else None
    return _ANY if held is Reach.DATA else run


def _back(came: dict[_State, tuple[_State, Edge] | None], state: _State) -> tuple[Edge, ...]:
    edges: list[Edge] = []
    while (step := came[state]) is not None:
        state, edge = step
        edges.append(edge)
    return tuple(reversed(edges))
