import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from flows.audit.pack.archive import Limits, unpack, write_archive
from worldmodel.errors import RecordError

FILES: dict[str, bytes | Path] = {"b.txt": b"second", "a/deep/c.bin": bytes(range(256)) * 5, "empty": b""}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "pack.tar.gz"
    write_archive(path, "toy-1", FILES)
    return path


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """An archive as anybody could make it."""
    with tarfile.open(path, "w:gz", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def there(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_was_packed_comes_out(archive: Path, tmp_path: Path) -> None:
    found = unpack(archive, tmp_path / "out")
    assert there(found.folder) == FILES
    assert found.folder == tmp_path / "out" / "toy-1"
    assert found.repacked == ()


def test_equal_files_give_equal_bytes_in_whatever_order_and_from_wherever(archive: Path, tmp_path: Path) -> None:
    on_disk = tmp_path / "somewhere"
    on_disk.write_bytes(b"second")
    write_archive(tmp_path / "again.tar.gz", "toy-1", {**dict(reversed(FILES.items())), "b.txt": on_disk})
    assert (tmp_path / "again.tar.gz").read_bytes() == archive.read_bytes()


def test_tar_unpacks_it_too(archive: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path], check=True)
    assert there(tmp_path / "toy-1") == FILES


def test_no_byte_of_the_archive_can_change_unnoticed(archive: Path, tmp_path: Path) -> None:
    content, silent = archive.read_bytes(), []
    for at in range(len(content)):
        altered = tmp_path / "altered.tar.gz"
        altered.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            found = unpack(altered, tmp_path / f"out{at}")
        except RecordError:
            continue
        if not found.repacked and there(found.folder) == FILES:
            silent.append(at)
    assert silent == []


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_an_archive_that_was_cut_short_is_refused(archive: Path, tmp_path: Path, share: float) -> None:
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(RecordError, match="cut short"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"more")])
def test_nothing_may_follow_the_archive(archive: Path, tmp_path: Path, more: bytes) -> None:
    archive.write_bytes(archive.read_bytes() + more)
    with pytest.raises(RecordError, match="behind its end"):
        unpack(archive, tmp_path / "out")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (member("toy/link", tarfile.SYMTYPE, "/etc/passwd"), "a link: toy/link"),
        (member("toy/link", tarfile.LNKTYPE, "toy/a"), "a link: toy/link"),
        (member("toy/null", tarfile.CHRTYPE), "a device: toy/null"),
        (member("toy/disk", tarfile.BLKTYPE), "a device: toy/disk"),
        (member("toy/pipe", tarfile.FIFOTYPE), "a pipe: toy/pipe"),
        (member("/etc/cron"), "a name that may not be in a pack"),
        (member("toy/../../evil"), "a name that may not be in a pack"),
        (member("toy/.git/config"), "a name that may not be in a pack"),
        (member("toy\\evil"), "a name that may not be in a pack"),
        (member("toy//evil"), "a name that may not be in a pack"),
        (member("toy/new\nline"), "a name that may not be in a pack"),
        (member("alone"), "files in one folder"),
    ],
)
def test_what_could_reach_outside_is_refused(tmp_path: Path, info: tarfile.TarInfo, said: str) -> None:
    content = b"x" if info.isreg() else b""
    path = tarred(tmp_path / "evil.tar.gz", (member("toy/a"), b"harmless"), (info, content))
    (tmp_path / "in" / "out").mkdir(parents=True)
    with pytest.raises(RecordError, match=said):
        unpack(path, tmp_path / "in" / "out")
    assert not any(p.name in ("evil", "alone", "link") for p in tmp_path.rglob("*"))


def test_a_file_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tarred(tmp_path / "twice.tar.gz", (member("toy/a"), b"one"), (member("toy/a"), b"two"))
    with pytest.raises(RecordError, match="toy/a is there twice"):
        unpack(path, tmp_path / "out")


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    path = tarred(tmp_path / "below.tar.gz", (member("toy/a"), b"one"), (member("toy/a/b"), b"two"))
    with pytest.raises(RecordError, match="there twice"):
        unpack(path, tmp_path / "out")


def test_two_folders_are_no_pack(tmp_path: Path) -> None:
    path = tarred(tmp_path / "two.tar.gz", (member("one/a"), b"a"), (member("two/a"), b"a"))
    with pytest.raises(RecordError, match="got: one, two"):
        unpack(path, tmp_path / "out")


def test_far_more_than_the_size_lets_expect_is_refused_before_it_is_written(tmp_path: Path) -> None:
    path = tarred(tmp_path / "bomb.tar.gz", (member("toy/zeros"), bytes(20 << 20)))
    with pytest.raises(RecordError, match="far more than its size"):
        unpack(path, tmp_path / "out", Limits(bytes=1 << 20, times=1))
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file()) <= 2 << 20


def test_too_many_files_are_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="too many files"):
        unpack(archive, tmp_path / "out", Limits(files=2))


def test_what_another_program_packed_anew_is_read_and_reported(archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "out")
    command = ["tar", "--format=ustar", "-czf", tmp_path / "anew.tar.gz", "-C", tmp_path / "out", "toy-1"]
    subprocess.run(command, check=True)
    found = unpack(tmp_path / "anew.tar.gz", tmp_path / "again")
    assert there(found.folder) == FILES
    assert "toy-1/b.txt" in found.repacked


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not an archive at all")
    with pytest.raises(RecordError, match="damaged"):
        unpack(tmp_path / "text", tmp_path / "out")
    with pytest.raises(RecordError, match="cannot be read"):
        unpack(tmp_path / "nothing", tmp_path / "out")
