"""Finished logs on disk, between reading and sharding: what a killed `prepare` does not do again.

A part is a directory, written aside and renamed: `clips.bin` holds the log's packed clips one after another,
`part.json` says of each what it is, how many bytes it takes and their sha256.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from worldmodel.data.atomic import atomic_directory
from worldmodel.data.manifest import ClipDescription, describe_clip
from worldmodel.data.schema import Clip
from worldmodel.data.shards import pack_clip
from worldmodel.errors import DataError

_CLIPS, _INDEX = "clips.bin", "part.json"


@dataclass(frozen=True)
class PartClip:
    """A packed clip in a part: its manifest columns, where its bytes are, their digest and that of its members."""

    description: ClipDescription
    file: Path
    offset: int
    byte_size: int
    bytes_sha256: str
    sha256: str

    def read(self) -> bytes:
        """The packed clip. Raises DataError if the part is not what was written."""
        try:
            with self.file.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.byte_size)
        except OSError as error:
            raise _damaged(self.file.parent, error.strerror or "") from error
        if hashlib.sha256(data).hexdigest() != self.bytes_sha256:
            raise _damaged(self.file.parent, f"other bytes for clip {self.description['clip_id']}")
        return data


def is_finished(directory: Path) -> bool:
    """Whether a log's part is there."""
    return (directory / _INDEX).is_file()


def write_part(directory: Path, clips: Iterable[Clip]) -> None:
    """Packs a log's clips into a part.

    Raises:
        DataError: a clip breaks the schema.
        WorkspaceError: the disk is full.
    """
    index, offset = [], 0
    with atomic_directory(directory) as aside:
        with (aside / _CLIPS).open("wb") as file:
            for clip in clips:
                packed = pack_clip(clip)
                file.write(packed.data)
                entry = {"description": describe_clip(clip), "offset": offset, "byte_size": len(packed.data)}
                index.append(entry | {"bytes_sha256": hashlib.sha256(packed.data).hexdigest(), "sha256": packed.sha256})
                offset += len(packed.data)
        (aside / _INDEX).write_text(json.dumps(index))


def read_part(directory: Path) -> list[PartClip]:
    """The clips of a finished part. Raises DataError if its index cannot be read."""
    try:
        index = json.loads((directory / _INDEX).read_text())
        return [_part_clip(directory / _CLIPS, entry) for entry in index]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(directory, f"an unreadable {_INDEX}: {error!r}") from error


def _part_clip(file: Path, entry: dict[str, object]) -> PartClip:
    description = cast(ClipDescription, entry["description"])
    offset, byte_size = int(str(entry["offset"])), int(str(entry["byte_size"]))
    return PartClip(description, file, offset, byte_size, str(entry["bytes_sha256"]), str(entry["sha256"]))


def _damaged(directory: Path, got: str) -> DataError:
    return DataError(
        f"the resume state of log {directory.name} is damaged",
        got=got,
        fix=f"delete {directory}: the log is read again",
    )
