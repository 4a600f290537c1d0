import os
from pathlib import Path

import pytest

from worldmodel.data.digests import folder_digest
from worldmodel.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a.bin").write_bytes(b"one")
    (tmp_path / "data/deep/b.bin").write_bytes(b"two")
    return tmp_path / "data"


def test_the_digest_is_of_names_and_contents_not_of_place_or_time(folder: Path) -> None:
    before = folder_digest(folder)
    moved = folder.rename(folder.with_name("elsewhere"))
    os.utime(moved / "a.bin", (1, 1))
    assert folder_digest(moved) == before
    (moved / "a.bin").rename(moved / "c.bin")
    renamed = folder_digest(moved)
    (moved / "c.bin").write_bytes(b"0ne")
    assert len({before, renamed, folder_digest(moved)}) == 3


def test_unchanged_files_are_not_read_again(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    before = folder_digest(folder, cache)
    stat = (folder / "a.bin").stat()
    (folder / "a.bin").write_bytes(b"ONE")
    os.utime(folder / "a.bin", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert folder_digest(folder, cache) == before, "same size and time: the file was read"
    assert folder_digest(folder) != before


def test_a_changed_file_is_read_again_and_the_cache_is_only_written_then(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    before = folder_digest(folder, cache)
    written = cache.stat().st_mtime_ns
    assert folder_digest(folder, cache) == before and cache.stat().st_mtime_ns == written
    (folder / "a.bin").write_bytes(b"longer")
    assert folder_digest(folder, cache) == folder_digest(folder) != before


def test_a_cache_that_cannot_be_parsed_is_made_anew(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text("{half")
    assert folder_digest(folder, tmp_path / "cache.json") == folder_digest(folder)
    assert "a.bin" in (tmp_path / "cache.json").read_text()


def test_linked_folders_count(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/data").symlink_to(folder)
    before = folder_digest(tmp_path / "linked")
    (folder / "a.bin").write_bytes(b"other")
    assert folder_digest(tmp_path / "linked") != before


def test_an_empty_folder_and_a_dead_link_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no file"):
        folder_digest(tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(DataError, match="link cannot be read"):
        folder_digest(tmp_path)
