"""Content digest of a folder of recorded data, quick when nothing has changed.

The digest is sha256 over the sorted (relative path, size, sha256) of all files. A file whose path, size and
modification time (in ns) are those of the last time is not read again.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from worldmodel.data.atomic import atomic_file
from worldmodel.errors import DataError

# path -> [size, mtime_ns, sha256]
_Cache = dict[str, list[int | str]]


def folder_digest(folder: Path, cache_file: Path | None = None) -> str:
    """Digest of what a folder holds; links are followed.

    Args:
        folder: the folder.
        cache_file: remembers the files' digests; a cache that cannot be parsed is made anew.

    Raises:
        DataError: there is no file in the folder, or one cannot be read.
    """
    cache = _read_cache(cache_file)
    known = dict(cache)
    total = hashlib.sha256()
    try:
        files = sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix())
        for path in files:
            size, sha256 = _file_digest(path, cache)
            total.update(json.dumps([path.relative_to(folder).as_posix(), size, sha256]).encode())
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read", got=error.strerror or "", fix="check the folder") from error
    if not files:
        raise DataError(f"{folder} holds no file", expected="a folder of recorded data")
    if cache_file is not None and cache != known:
        with atomic_file(cache_file) as file:
            file.write(json.dumps(cache, sort_keys=True).encode())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, followlinks=True):
        yield from (Path(parent, name) for name in names)


def _file_digest(path: Path, cache: _Cache) -> tuple[int, str]:
    stat = path.stat()
    size, modified, sha256 = cache.get(str(path), (-1, -1, ""))
    if (size, modified) != (stat.st_size, stat.st_mtime_ns):
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        cache[str(path)] = [stat.st_size, stat.st_mtime_ns, sha256]
    return stat.st_size, str(sha256)


def _read_cache(cache_file: Path | None) -> _Cache:
    try:
        content = json.loads(cache_file.read_text()) if cache_file else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
