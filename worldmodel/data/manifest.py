"""clips.parquet: one row a clip, what it is, what it has and where it lies. The bytes depend on the rows alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, cast

from worldmodel.data.atomic import atomic_file
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError

if TYPE_CHECKING:
    import pyarrow

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MANIFEST_NAME = "clips.parquet"


class ClipDescription(TypedDict):
    """The columns that a clip determines by itself."""

    clip_id: str
    log_id: str
    source: str
    licence: str
    cameras: list[str]
    n_frames: int
    height: int
    width: int
    rate_hz: float
    has_poses: bool
    has_depth: bool
    depth_kind: str | None
    has_sky: bool
    has_dynamic: bool
    has_points: bool
    has_boxes: bool
    has_layout: bool
    has_layout_video: bool
    has_text: bool
    weather: str | None
    time_of_day: str | None
    tags: str


class ClipRow(ClipDescription):
    """A row of clips.parquet.

    `heldout_frames` are frames that no training may read. The clip takes the bytes [offset, offset + byte_size) of its
    shard, tar headers and padding included; `sha256` is over its members' contents in tar order.
    """

    split: Split
    heldout_frames: list[int]
    shard: str
    offset: int
    byte_size: int
    sha256: str


def describe_clip(clip: Clip) -> ClipDescription:
    """The manifest columns of a clip, before it has a split and a place."""
    has = clip.has
    return {
        "clip_id": clip.clip_id,
        "log_id": clip.log_id,
        "source": clip.source,
        "licence": clip.licence,
        "cameras": list(clip.cameras),
        "n_frames": len(clip.times_s),
        "height": clip.rgb.shape[2],
        "width": clip.rgb.shape[3],
        "rate_hz": float(clip.rate_hz),
        "has_poses": has["poses"],
        "has_depth": has["depth"],
        "depth_kind": clip.depth_kind,
        "has_sky": has["sky"],
        "has_dynamic": has["dynamic"],
        "has_points": has["points"],
        "has_boxes": has["boxes"],
        "has_layout": has["layout"],
        "has_layout_video": has["layout_video"],
        "has_text": has["text"],
        "weather": clip.tags.get("weather"),
        "time_of_day": clip.tags.get("time_of_day"),
        "tags": json.dumps(dict(clip.tags), sort_keys=True),
    }


def write_manifest(path: Path, rows: Sequence[ClipRow]) -> None:
    """Writes clips.parquet, in the order given."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(cast("list[dict[str, object]]", list(rows)), schema=_schema())
    with atomic_file(path) as file:
        pyarrow.parquet.write_table(table, file, compression="zstd", compression_level=3)


def read_manifest(path: Path) -> "pyarrow.Table":
    """Reads clips.parquet.

    Raises:
        DataError: the file is missing, is no parquet file, or lacks a column.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        fix = "run the prepare stage; a damaged artifact comes back with `dvc checkout`"
        raise DataError(
            f"{path.name} cannot be read", expected=f"a clip manifest at {path}", got=str(error), fix=fix
        ) from error
    missing = sorted(set(_schema().names) - set(table.schema.names))
    if missing:
        raise DataError(f"{path.name} lacks columns", expected=", ".join(missing), fix="run the prepare stage again")
    return table


def _schema() -> "pyarrow.Schema":
    """Every column, in file order."""
    import pyarrow as pa

    text, flag, whole = pa.string(), pa.bool_(), pa.int64()
    columns: list[tuple[str, pa.DataType]] = [
        ("clip_id", text),
        ("log_id", text),
        ("source", text),
        ("licence", text),
        ("split", text),
        ("heldout_frames", pa.list_(whole)),
        ("cameras", pa.list_(text)),
        ("n_frames", whole),
        ("height", whole),
        ("width", whole),
        ("rate_hz", pa.float64()),
        ("has_poses", flag),
        ("has_depth", flag),
        ("depth_kind", text),
        ("has_sky", flag),
        ("has_dynamic", flag),
        ("has_points", flag),
        ("has_boxes", flag),
        ("has_layout", flag),
        ("has_layout_video", flag),
        ("has_text", flag),
        ("weather", text),
        ("time_of_day", text),
        ("tags", text),
        ("shard", text),
        ("offset", whole),
        ("byte_size", whole),
        ("sha256", text),
    ]
    return pa.schema(columns)
