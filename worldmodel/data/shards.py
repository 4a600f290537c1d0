"""Tar shards of clips (WebDataset layout; readable with plain `tar`) and random access to them.

A packed clip is its tar members, headers and padding included; a shard is packed clips one after another and the two
zero blocks that end a tar, so a shard is made without copying members one by one, and a clip is found by its offset.
Headers are USTAR with fixed owner, mode and no time, so the bytes depend on the clips alone; a name longer than the 100
characters of USTAR stands in a pax header before it.
"""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from worldmodel.data.atomic import atomic_file
from worldmodel.data.clip_checks import validate_clip
from worldmodel.data.clip_codec import decode_clip, encode_clip, parse_meta
from worldmodel.data.manifest import MANIFEST_NAME, ClipRow, Split, read_manifest
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

SHARD_DIRECTORY = "shards"
_BLOCK = tarfile.BLOCKSIZE
_FIX = "fetch the artifact again (`dvc checkout`) or run the prepare stage again"


@dataclass(frozen=True)
class PackedClip:
    """A clip as the bytes it takes in a shard, and the sha256 of its members' contents in tar order."""

    data: bytes
    sha256: str


def pack_clip(clip: Clip) -> PackedClip:
    """Checks a clip against the schema and packs it. Raises DataError naming the clip and field."""
    validate_clip(clip)
    blocks, digest = bytearray(), hashlib.sha256()
    for name, content in encode_clip(clip):
        header = tarfile.TarInfo(name)
        header.size, header.mode = len(content), 0o644
        blocks += header.tobuf(tarfile.PAX_FORMAT)
        blocks += content
        blocks += bytes(-len(content) % _BLOCK)
        digest.update(content)
    return PackedClip(bytes(blocks), digest.hexdigest())


def write_shard(path: Path, packed: Iterable[bytes]) -> list[int]:
    """Writes packed clips as one tar, aside and then renamed; the offset of each clip.

    Raises:
        WorkspaceError: the disk is full.
    """
    offsets = []
    with atomic_file(path) as file:
        for data in packed:
            offsets.append(file.tell())
            file.write(data)
        file.write(bytes(2 * _BLOCK))
    return offsets


class ClipStore:
    """Random access to the clips of a finished prepare stage.

    Args:
        root: the directory with clips.parquet and shards/.

    Raises:
        DataError: there is no readable clips.parquet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._table: pyarrow.Table = read_manifest(root / MANIFEST_NAME)
        self._rows: dict[str, ClipRow] = {row["clip_id"]: row for row in self._table.to_pylist()}

    @cached_property
    def manifest(self) -> "pd.DataFrame":
        """clips.parquet as a data frame; treat it as read-only."""
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def clip_ids(self, split: Split | None = None, source: str | None = None) -> list[str]:
        """Clips of a split and source (None = all), in manifest order."""
        rows = self._rows.values()
        return [r["clip_id"] for r in rows if split in (None, r["split"]) and source in (None, r["source"])]

    def row(self, clip_id: str) -> ClipRow:
        """The manifest row of a clip. Raises DataError for an unknown clip."""
        if clip_id not in self._rows:
            raise DataError(f"clip {clip_id} is not in {MANIFEST_NAME}", got=f"{len(self._rows)} other clips")
        return self._rows[clip_id]

    def load(self, clip_id: str, frames: Sequence[int] | None = None, *, verify: bool = False) -> Clip:
        """Decodes a clip.

        Args:
            clip_id: the clip.
            frames: only these frames, in this order; the bytes of the others are not read. `times_s` stays relative to
                the stored clip's first frame.
            verify: check the sha256 of the whole clip first (which reads all of its bytes).

        Raises:
            DataError: a missing, truncated or corrupt shard, naming shard, clip and member.
        """
        row = self.row(clip_id)
        try:
            with self._shard(row).open("rb") as file:
                members = dict(_scan(file, row))
                if verify:
                    _verify(file, row, members.values())
                meta = parse_meta(clip_id, _read(file, row, members, f"{clip_id}.meta.json"))
                return decode_clip(meta, lambda name: _read(file, row, members, name), frames)
        except FileNotFoundError as error:
            raise DataError(f"shard {row['shard']} is missing, and clip {clip_id} with it", fix=_FIX) from error
        except DataError as error:
            if error.what.startswith("shard "):
                raise
            what = f"shard {row['shard']}, clip {clip_id}: {error.what}"
            raise DataError(what, expected=error.expected, got=error.got, fix=error.fix or _FIX) from error

    def _shard(self, row: ClipRow) -> Path:
        return self.root / SHARD_DIRECTORY / row["shard"]


@dataclass(frozen=True)
class _Member:
    offset: int
    size: int


def _scan(file: BinaryIO, row: ClipRow) -> Iterator[tuple[str, _Member]]:
    """Names and places of a clip's members, from their tar headers."""
    position, end = row["offset"], row["offset"] + row["byte_size"]
    long_name = None
    while position < end:
        file.seek(position)
        try:
            header = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "strict")
        except tarfile.HeaderError as error:
            raise DataError(f"the tar header at byte {position} is damaged", got=str(error)) from error
        if header.type == tarfile.XHDTYPE:
            long_name = _long_name(file.read(header.size), position)
        else:
            yield long_name or header.name, _Member(position + _BLOCK, header.size)
            long_name = None
        position += _BLOCK + header.size + -header.size % _BLOCK


def _long_name(records: bytes, position: int) -> str:
    """The name in a pax header: its only record, `<length> path=<name>`."""
    name = records.decode("utf-8", "replace").partition(" path=")[2]
    if not name.endswith("\n"):
        raise DataError(f"the tar header at byte {position} is damaged", expected="the name of a member")
    return name[:-1]


def _read(file: BinaryIO, row: ClipRow, members: dict[str, _Member], name: str) -> bytes:
    if name not in members:
        raise DataError(f"member {name} is missing")
    member = members[name]
    file.seek(member.offset)
    content = file.read(member.size)
    if len(content) < member.size:
        raise DataError(f"member {name} is cut short", expected=f"{member.size} bytes", got=f"{len(content)} bytes")
    return content


def _verify(file: BinaryIO, row: ClipRow, members: Iterable[_Member]) -> None:
    digest = hashlib.sha256()
    for member in members:
        file.seek(member.offset)
        digest.update(file.read(member.size))
    if digest.hexdigest() != row["sha256"]:
        raise DataError("the contents differ from the manifest", expected=row["sha256"], got=digest.hexdigest())
