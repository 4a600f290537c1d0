from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from worldmodel.data.atomic import aside_of, atomic_directory, atomic_file
from worldmodel.errors import WorkspaceError


def test_a_file_is_there_only_when_the_block_ended_well(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with pytest.raises(ZeroDivisionError), atomic_file(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    with atomic_file(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole" and list(path.parent.iterdir()) == [path]


def test_a_directory_is_there_only_when_the_block_ended_well(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "directory"
    for word in ("first", "second"):
        with atomic_directory(path) as aside:
            (aside / word).touch()
    with pytest.raises(ZeroDivisionError), atomic_directory(path) as aside:
        (aside / "third").touch()
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == [path] and [entry.name for entry in path.iterdir()] == ["second"]


def test_a_full_disk_is_named_and_other_errors_pass(tmp_path: Path) -> None:
    aside_of(tmp_path / "file").symlink_to("/dev/full")
    with pytest.raises(WorkspaceError, match="the disk is full") as raised, atomic_file(tmp_path / "file") as file:
        file.write(b"much")
    assert "free some space" in raised.value.fix and list(tmp_path.iterdir()) == []
    with pytest.raises(WorkspaceError, match="the disk is full"), atomic_directory(tmp_path / "parts") as aside:
        (aside / "clips").symlink_to("/dev/full")
        (aside / "clips").write_bytes(b"much")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "plain").touch()
    with pytest.raises(FileExistsError), atomic_file(tmp_path / "plain" / "file"):
        pass


def test_two_writers_of_one_file_leave_one_of_the_two_whole_beside_what_a_killed_one_left(tmp_path: Path) -> None:
    both, path = Barrier(2, timeout=10), tmp_path / "file"
    (tmp_path / "file.part-1-1").write_bytes(b"half")

    def write(letter: bytes) -> None:
        with atomic_file(path) as file:
            both.wait()
            file.write(1000 * letter)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (b"a", b"b")))
    assert path.read_bytes() in (1000 * b"a", 1000 * b"b")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "file.part-1-1"]
