"""The archive of a pack: tar in gzip in one spelling (sorted, without times or owners), and its safe unpacking.

Nothing is unpacked but regular files with plain names below one folder, so many and so large at most. What is safe but
not in our spelling (packed anew by another program) is reported: those bytes are covered by no digest.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO

from worldmodel.data.atomic import atomic_file
from worldmodel.errors import RecordError, WorkspaceError

SUFFIX = ".evidence.tar.gz"
_BLOCK, _CHUNK, _INFLATED, _LEVEL = 512, 1 << 20, 1 << 18, 6
_GZIP_HEADER = bytes.fromhex("1f8b080000000000") + b"\x00\xff"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@=-]*")
_KINDS = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_REGULAR, _FOLDER = (b"0", b"\x00"), b"5"
_OTHER = "not a pack as `worldmodel audit export` writes it"


@dataclass(frozen=True)
class Limits:
    """What an archive may come to: files, bytes beside `times` its own size, and the length of a path."""

    files: int = 100_000
    bytes: int = 1 << 28
    times: int = 20
    path: int = 250


@dataclass(frozen=True)
class Unpacked:
    """Where the files are, and what of the archive is not in our spelling."""

    folder: Path
    repacked: tuple[str, ...]


def write_archive(out: Path, top: str, files: Mapping[str, bytes | Path]) -> None:
    """Writes `files` (content, or a file to read, by path below the folder `top`), aside first.

    Raises:
        WorkspaceError: a file is too large for a tar archive, or the disk is full.
    """
    with (
        atomic_file(out) as file,
        GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed,
    ):
        for name in sorted(files):
            content = files[name]
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            packed.write(_header(f"{top}/{name}", size))
            for chunk in _chunks(content):
                packed.write(chunk)
            packed.write(bytes(-size % _BLOCK))
        packed.write(bytes(2 * _BLOCK))


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _header(name: str, size: int) -> bytes:
    """The one header that a file of this name and size has."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    except ValueError as error:
        fix = "leave the weights out: their digests are in the pack"
        raise WorkspaceError(f"{name} does not fit into a pack", got=str(error), fix=fix) from None


def unpack(archive: Path, into: Path, limits: Limits | None = None) -> Unpacked:
    """Unpacks a pack into an empty folder.

    Raises:
        RecordError: it is damaged, cut short, holds something else than plain files, or more than the limits allow.
    """
    limits = limits or Limits()
    with _opened(archive) as file:
        stream = _Stream(file, archive, limits)
        tops: set[str] = set()
        repacked = [] if stream.plain_header else ["the header of the archive"]
        last, count = "", 0
        while (header := stream.take(_BLOCK)) != bytes(_BLOCK):
            name, size = _read_header(header, archive)
            count += 1
            if count > limits.files or len(name) > limits.path:
                raise RecordError(f"{archive}: too many files, or too long a path", expected=str(limits), got=name[:80])
            if header != _header(name, size) or name <= last:
                repacked.append(name)
            if header[156:157] != _FOLDER:
                tops.add(name.split("/")[0])
                _write(into, name, stream, size, archive)
            last = name
        if stream.rest() != bytes(_BLOCK):
            repacked.append("the end of the archive")
    if len(tops) != 1:
        raise RecordError(f"{archive}: {_OTHER}", expected="one folder", got=", ".join(sorted(tops)[:5]) or "nothing")
    return Unpacked(into / tops.pop(), tuple(repacked))


@contextmanager
def _opened(archive: Path) -> Iterator[BinaryIO]:
    try:
        with archive.open("rb") as file:
            yield file
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise RecordError(f"{archive}: cannot be read", got=error.strerror or "", fix=f"name a {SUFFIX}") from None


def _read_header(header: bytes, archive: Path) -> tuple[str, int]:
    """Name and size of a regular file or folder, both plain."""
    try:
        prefix, name = (header[a:b].split(b"\x00")[0].decode("ascii") for a, b in ((345, 500), (0, 100)))
        size = int(header[124:136].strip(b" \x00") or b"0", 8)
    except ValueError:
        raise RecordError(f"{archive}: {_OTHER}", got="an unreadable file header") from None
    path, kind = f"{prefix}/{name}" if prefix else name, header[156:157]
    if kind not in (*_REGULAR, _FOLDER):
        raise RecordError(f"{archive}: {_OTHER}", expected="plain files", got=f"{_KINDS.get(kind, repr(kind))}: {path}")
    if kind == _FOLDER:
        path, size = path.rstrip("/"), 0
    if size < 0 or not all(_PART.fullmatch(part) for part in path.split("/")):
        raise RecordError(f"{archive}: a name that may not be in a pack", expected="FOLDER/FILE", got=repr(path))
    return path, size


def _write(into: Path, name: str, stream: "_Stream", size: int, archive: Path) -> None:
    """One file, which must not be there yet."""
    path = into / name
    if len(Path(name).parts) < 2:
        raise RecordError(f"{archive}: {_OTHER}", expected="files in one folder", got=name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            for start in range(0, size, _CHUNK):
                out.write(stream.take(min(_CHUNK, size - start), name))
    except (FileExistsError, NotADirectoryError):
        raise RecordError(f"{archive}: {name} is there twice") from None
    if stream.take(-size % _BLOCK, name).strip(b"\x00"):
        raise RecordError(f"{archive}: altered behind {name}", expected="zeros up to the next file")


class _Stream:
    """What a gzip file holds, piece by piece, never more than the limits allow."""

    def __init__(self, file: BinaryIO, archive: Path, limits: Limits) -> None:
        self._file, self._archive = file, archive
        self._left = limits.bytes + limits.times * archive.stat().st_size
        self._inflate = zlib.decompressobj(wbits=31)
        self._pending = file.read(_CHUNK)
        self.plain_header = self._pending.startswith(_GZIP_HEADER)
        self._ready = bytearray()

    def take(self, count: int, name: str = "") -> bytes:
        """Exactly `count` bytes; `name` is the file they are of."""
        while len(self._ready) < count:
            if not self._more(name):
                raise RecordError(f"{self._archive}: cut short{f' in {name}' if name else ''}", fix="get it anew")
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken

    def rest(self) -> bytes:
        """All that is left. Raises RecordError if it is much, or anything follows the gzip data."""
        while self._more(""):
            if len(self._ready) > _CHUNK:
                raise RecordError(f"{self._archive}: something was added behind its files")
        if self._inflate.unused_data or self._pending or self._file.read(1):
            raise RecordError(f"{self._archive}: something was added behind its end")
        return bytes(self._ready)

    def _more(self, name: str) -> bool:
        """Inflates a little more; False at the end."""
        while not self._inflate.eof:
            self._pending = self._pending or self._file.read(_CHUNK)
            if not self._pending:
                raise RecordError(f"{self._archive}: cut short{f' in {name}' if name else ''}", fix="get it anew")
            try:
                found = self._inflate.decompress(self._pending, _INFLATED)
            except zlib.error as error:
                where = f" in {name}" if name else ""
                raise RecordError(f"{self._archive}: damaged{where}", got=str(error), fix="get it anew") from None
            self._pending = self._inflate.unconsumed_tail
            self._left -= len(found)
            if self._left < 0:
                raise RecordError(f"{self._archive}: holds far more than its size lets expect", got="a zip bomb?")
            if found:
                self._ready += found
                return True
        return False
