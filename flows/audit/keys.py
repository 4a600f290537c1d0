"""Nested JSON as dotted keys, and what differs between two of them: for params and for the gate's limits."""

from collections.abc import Iterator, Mapping
from typing import Any

from evaluation.base import Record, canonical_json

_IDENTITY = ("source", "method", "metric", "region", "slice", "baseline", "better_than", "measure")
_BOUNDS = ("min", "max", "max_drop", "margin")


class Change(Record):
    """One key's value on either side; null: it is not there, or null."""

    key: str
    before: Any
    after: Any


def dotted(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf by its dotted key; a list is a leaf."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            found |= dotted(inner, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = inner
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Where two mappings of dotted keys differ, by key."""
    return tuple(
        Change(key=key, before=before.get(key), after=after.get(key))
        for key in sorted({*before, *after})
        if canonical_json(before.get(key)) != canonical_json(after.get(key))
    )


def limit_keys(limits: Mapping[str, Any]) -> dict[str, Any]:
    """The gate's limits as dotted keys: an entry of a list is known by what it is about, not by its place.

    `absolute.synthetic/image/psnr.min` is 18.0; a limit on every source has `*` for it. Nulls are left out.
    """
    found: dict[str, Any] = {}
    for key, value in limits.items():
        entries = value if isinstance(value, list) and value and isinstance(value[0], Mapping) else None
        if entries is None:
            found[key] = value
            continue
        for entry in entries:
            found |= {f"{key}.{name}": bound for name, bound in _bounds(entry)}
    return {name: bound for name, bound in found.items() if bound is not None}


def _bounds(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What one limit asks, each by what it is about."""
    about = {name: entry[name] for name in _IDENTITY if entry.get(name) not in (None, "all")}
    if "metric" in entry:
        about = {"source": entry.get("source") or "*", **about}
    name = "/".join(str(about[part]) for part in _IDENTITY if part in about)
    asked = [bound for bound in _BOUNDS if entry.get(bound) is not None]
    for key, value in entry.items():
        if key in _BOUNDS:
            yield f"{name}.{key}", value
        elif key not in _IDENTITY:  # how it is judged; one metric may have a min and a max
            yield f"{name}.{'+'.join(asked)}.{key}", value
