from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

from worldmodel.data.manifest import ClipRow, describe_clip, read_manifest, write_manifest
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError


@pytest.fixture
def rows(make_clip: Callable[..., Clip], bare: Clip) -> list[ClipRow]:
    place = {"split": "val", "heldout_frames": [], "shard": "s.tar", "offset": 0, "byte_size": 9, "sha256": "ab"}
    return [{**describe_clip(clip), **place} for clip in (make_clip(), bare)]  # type: ignore[typeddict-item]


def test_rows_come_back_as_they_were(tmp_path: Path, rows: list[ClipRow]) -> None:
    write_manifest(tmp_path / "clips.parquet", rows)
    assert read_manifest(tmp_path / "clips.parquet").to_pylist() == rows


def test_the_columns_say_what_a_clip_has(rows: list[ClipRow]) -> None:
    whole, bare = rows
    flags = [name for name in whole if name.startswith("has_")]
    assert len(flags) == 9
    assert [whole[name] for name in flags] == [True] * 9 and [bare[name] for name in flags] == [False] * 9  # type: ignore[literal-required]
    assert (whole["weather"], whole["time_of_day"], bare["weather"]) == ("rain", "dusk", None)


def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path, rows: list[ClipRow]) -> None:
    for name in ("a", "b"):
        write_manifest(tmp_path / name, rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_manifest(tmp_path / "b", rows[::-1])
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_columns_that_are_missing_are_named(tmp_path: Path, rows: list[ClipRow]) -> None:
    write_manifest(tmp_path / "clips.parquet", rows)
    table = pyarrow.parquet.read_table(tmp_path / "clips.parquet").drop_columns(["licence", "sha256"])
    pyarrow.parquet.write_table(table, tmp_path / "clips.parquet")
    with pytest.raises(DataError, match=r"lacks columns\n  expected: licence, sha256"):
        read_manifest(tmp_path / "clips.parquet")
