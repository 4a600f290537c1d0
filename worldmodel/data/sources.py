"""Where logs come from: the `Source` protocol, the table of adapters, and what a run records about its sources.

A run's data is named on the command line by a spec (`synthetic`, `dgp:PATH`, `multicam:PATH`) and resolved once:
`sources.json` holds names, adapters and content digests, travels with the run and is a dependency of `prepare`; the
paths stay in a file of this machine that maps digests to them. The synthetic source has no digest there: code and
params determine it, and the pipeline tracks both.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from worldmodel.data.atomic import atomic_file
from worldmodel.data.digests import folder_digest
from worldmodel.errors import DataError

if TYPE_CHECKING:
    from worldmodel.data.config import PrepareConfig
    from worldmodel.data.schema import Clip

SOURCES_VERSION = 1


class Source(Protocol):
    """Logs of one origin. A source is pickled to worker processes, so it holds settings, not data."""

    @property
    def name(self) -> str:
        """Unique in a run, `[A-Za-z0-9_-]+`."""

    @property
    def licence(self) -> str:
        """SPDX identifier, or the licence's name."""

    def digest(self) -> str:
        """Of the content of a recorded source; of a generated one, its version (config and seed are in the params)."""

    def log_ids(self) -> Sequence[str]:
        """Ids of the logs, unique over all sources, in a fixed order."""

    def read_log(self, log_id: str) -> "list[Clip]":
        """The clips of one log. Raises DataError naming file and field if the log cannot be used."""


@dataclass(frozen=True)
class ResolvedSource:
    """A data spec after resolution; `digest` and `path` are None for a source that is generated."""

    name: str
    adapter: str
    digest: str | None
    path: Path | None = None


@dataclass(frozen=True)
class Adapter:
    """How sources of a kind are opened; a recorded one lies in a folder."""

    open: "Callable[[ResolvedSource, PrepareConfig, int], Source]"
    recorded: bool


def _open_synthetic(entry: ResolvedSource, config: "PrepareConfig", seed: int) -> Source:
    from worldmodel.data.synthetic.source import SyntheticSource

    return SyntheticSource(config.synthetic, seed)


def _recording(
    entry: ResolvedSource, config: "PrepareConfig"
) -> tuple[str, Path, str, tuple[int, int], int, float, str | None]:
    """The arguments of a recorded source, in the order of `RecordedFolder`."""
    assert entry.path is not None and entry.digest is not None
    size, licence = (config.height, config.width), config.licences.get(entry.name)
    return entry.name, entry.path, entry.digest, size, config.clip_frames, config.rate_hz, licence


def _open_dgp(entry: ResolvedSource, config: "PrepareConfig", seed: int) -> Source:
    from worldmodel.data.adapters.dgp import DgpSource

    return DgpSource(*_recording(entry, config))


def _open_multicam(entry: ResolvedSource, config: "PrepareConfig", seed: int) -> Source:
    from worldmodel.data.adapters.multicam import MulticamSource

    return MulticamSource(*_recording(entry, config))


ADAPTERS: Mapping[str, Adapter] = {
    "synthetic": Adapter(_open_synthetic, recorded=False),
    "dgp": Adapter(_open_dgp, recorded=True),
    "multicam": Adapter(_open_multicam, recorded=True),
}


def resolve_specs(specs: Iterable[str], digest_cache: Path | None = None) -> list[ResolvedSource]:
    """What data specs stand for, sorted by name.

    Args:
        specs: `synthetic`, or `ADAPTER:PATH`; the source is named after the folder.
        digest_cache: file that remembers digests of unchanged files, so that resolving again is quick.

    Raises:
        DataError: an unknown adapter, a path that is no folder or holds no file, or two sources of one name.
    """
    resolved = [_resolve(spec, digest_cache) for spec in specs]
    names = [entry.name for entry in resolved]
    for name in names:
        if names.count(name) > 1:
            fix = "give each source once; rename one of two folders with the same name"
            raise DataError(f"two data sources are named {name}", got=", ".join(names), fix=fix)
    if not resolved:
        raise DataError("no data source was given", expected="`synthetic` or ADAPTER:PATH, at least once")
    return sorted(resolved, key=lambda entry: entry.name)


def write_sources(path: Path, entries: Iterable[ResolvedSource]) -> None:
    """Writes sources.json: names, adapters and digests, no paths."""
    rows = [{"name": entry.name, "adapter": entry.adapter, "digest": entry.digest} for entry in entries]
    _write_json(path, {"version": SOURCES_VERSION, "sources": rows})


def read_sources(path: Path) -> list[ResolvedSource]:
    """Reads sources.json (entries without paths). Raises DataError naming what is wrong with it."""
    content = _read_json(path)
    try:
        if content["version"] != SOURCES_VERSION:
            raise DataError(f"{path}: another version", expected=str(SOURCES_VERSION), got=str(content["version"]))
        entries = [ResolvedSource(row["name"], row["adapter"], row["digest"]) for row in content["sources"]]
    except (KeyError, TypeError) as error:
        expected = '{"version": 1, "sources": [{"name", "adapter", "digest"}, ...]}'
        raise DataError(f"{path}: field missing", expected=expected, got=repr(error), fix=_RESOLVE_AGAIN) from error
    for entry in entries:
        _adapter(entry.adapter, str(path))
    return entries


def remember_paths(path: Path, entries: Iterable[ResolvedSource]) -> None:
    """Adds where recorded sources lie on this machine to the file that maps digests to paths."""
    known = read_local_paths(path) | {e.digest: e.path for e in entries if e.digest and e.path}
    _write_json(path, {digest: str(folder) for digest, folder in known.items()})


def read_local_paths(path: Path) -> dict[str, Path]:
    """Digests to folders on this machine; empty if there is no such file yet."""
    return {digest: Path(folder) for digest, folder in _read_json(path).items()} if path.exists() else {}


def open_sources(
    entries: Iterable[ResolvedSource],
    local_paths: Mapping[str, Path],
    config: "PrepareConfig",
    seed: int,
    digest_cache: Path | None = None,
) -> list[Source]:
    """Opens the sources that a run's sources.json names.

    Raises:
        DataError: a recorded source is not known on this machine, is gone, or no longer has the recorded content.
    """
    return [_open(entry, local_paths, config, seed, digest_cache) for entry in entries]


_RESOLVE_AGAIN = "start the run again with --data, which resolves the sources anew"


def _resolve(spec: str, digest_cache: Path | None) -> ResolvedSource:
    adapter, _, folder = spec.partition(":")
    if not _adapter(adapter, f"--data {spec}").recorded:
        if folder:
            raise DataError(f"--data {spec}: {adapter} is generated and takes no path", expected=adapter)
        return ResolvedSource(adapter, adapter, None)
    path = Path(folder).expanduser().resolve()
    if not folder or not path.is_dir():
        raise DataError(f"--data {spec}: no such folder", expected=f"{adapter}:PATH of a folder", got=str(path))
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.name)
    return ResolvedSource(name, adapter, folder_digest(path, digest_cache), path)


def _open(
    entry: ResolvedSource, local_paths: Mapping[str, Path], config: "PrepareConfig", seed: int, cache: Path | None
) -> Source:
    adapter = _adapter(entry.adapter, f"source {entry.name}")
    if not adapter.recorded:
        return adapter.open(entry, config, seed)
    path = local_paths.get(entry.digest or "")
    if path is None or not path.is_dir():
        got = f"{path}, which is no folder" if path else "no path for it"
        fix = f"start the run with --data {entry.adapter}:PATH, with PATH where {entry.name} lies on this machine"
        raise DataError(
            f"source {entry.name} is not on this machine", expected=f"digest {entry.digest}", got=got, fix=fix
        )
    found = folder_digest(path, cache)
    if found != entry.digest:
        what = f"source {entry.name} at {path} has changed since this run resolved it"
        raise DataError(what, expected=f"digest {entry.digest}", got=f"digest {found}", fix=_RESOLVE_AGAIN)
    return adapter.open(ResolvedSource(entry.name, entry.adapter, entry.digest, path), config, seed)


def _adapter(name: str, where: str) -> Adapter:
    if name not in ADAPTERS:
        raise DataError(f"{where}: unknown data adapter", expected=" or ".join(ADAPTERS), got=name)
    return ADAPTERS[name]


def _write_json(path: Path, content: Any) -> None:
    with atomic_file(path) as file:
        file.write((json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", expected="a JSON file", got=str(error), fix=_RESOLVE_AGAIN) from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a mapping", expected="a JSON object", got=type(content).__name__)
    return content
