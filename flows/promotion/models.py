"""Registered versions by what people call them, out of the ledger alone."""

import re
from collections.abc import Iterable

from flows.ledger.bodies import ModelRegistered
from flows.ledger.entry import Entry
from flows.ledger.standing import registered
from worldmodel.errors import RegistryError

_SPEC = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(?:/(?P<version>\d+))?")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def find_version(entries: Iterable[Entry], spec: str) -> ModelRegistered:
    """The version that `NAME/3`, `NAME` (its newest) or the start of a bundle's digest stands for.

    Raises:
        RegistryError: the ledger knows none, or several; says what there is.
    """
    known = list(registered(entries).values())
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise RegistryError(f"{spec}: not the name of a version", expected="NAME, NAME/VERSION or a digest", got=spec)
    versions = sorted((body for body in known if body.name == match["name"]), key=lambda body: int(body.version))
    if not versions:
        return _by_digest(known, spec)
    if match["version"] is None:
        return versions[-1]
    for body in versions:
        if body.version == match["version"]:
            return body
    raise unknown_version(match["name"], match["version"], versions)


def unknown_version(name: str, version: str, versions: Iterable[ModelRegistered]) -> RegistryError:
    """The error for a version that was never registered under this name."""
    there = " or ".join(body.version for body in versions if body.name == name) or "none"
    return RegistryError(f"the ledger knows no version {version} of {name}", expected=there, got=version)


def _by_digest(known: Iterable[ModelRegistered], spec: str) -> ModelRegistered:
    bodies = list(known)
    found = [body for body in bodies if _DIGEST.fullmatch(spec) and body.model_sha256.startswith(spec)]
    if len(found) == 1:
        return found[0]
    names = " or ".join(sorted({body.name for body in bodies})) or "none yet"
    several = ", ".join(f"{body.name}/{body.version}" for body in found)
    raise RegistryError(
        f"{spec}: {'more than one version is' if found else 'no version is'} called that",
        expected=f"one of {several}" if found else names,
        got=spec,
    )
