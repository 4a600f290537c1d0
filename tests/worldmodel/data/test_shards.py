import hashlib
import json
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from worldmodel.data.atomic import aside_of
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore, pack_clip, write_shard
from worldmodel.errors import DataError, WorkspaceError

MakeClip = Callable[..., Clip]
WriteStore = Callable[..., Path]
SHARD = Path("shards/shard-00000.tar")


def assert_same(stored: Clip, clip: Clip) -> None:
    """Every field bit by bit, but for depth, which keeps 1/256 m."""
    for field in fields(Clip):
        a, b = getattr(stored, field.name), getattr(clip, field.name)
        if field.name == "depth" and b is not None:
            assert a.dtype == np.float32 and np.abs(a - b).max() <= 1 / 256
        elif field.name == "boxes" and b is not None:
            for box_a, box_b in zip(sum(a, ()), sum(b, ()), strict=True):
                assert (box_a.world_from_box == box_b.world_from_box).all()
                assert (box_a.track_id, box_a.size_m, box_a.moving) == (box_b.track_id, box_b.size_m, box_b.moving)
        elif isinstance(b, np.ndarray):
            assert a.dtype == b.dtype and np.array_equal(a, b), field.name
        elif isinstance(b, tuple) and isinstance(b[0], np.ndarray):
            assert all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True)), field.name
        else:
            assert a == b, field.name


def test_a_clip_comes_back_as_it_was(make_clip: MakeClip, bare: Clip, write_store: WriteStore) -> None:
    clips = [make_clip(), bare, make_clip("log-0-001", sky=None), make_clip("log-0-002", dynamic=None)]
    store = ClipStore(write_store(clips))
    for clip in clips:
        assert_same(store.load(clip.clip_id, verify=True), clip)


def test_depth_beyond_its_range_is_none(make_clip: MakeClip, write_store: WriteStore) -> None:
    depth = np.full((4, 2, 6, 8), 511.5, np.float32)
    depth[0] = 512.0
    stored = ClipStore(write_store([make_clip(depth=depth)])).load("log-0-000").depth
    assert stored is not None and (stored[0] == 0).all() and (stored[1:] == 511.5).all()


def test_plain_tar_lists_the_members_in_order(make_clip: MakeClip, bare: Clip, write_store: WriteStore) -> None:
    root = write_store([make_clip(n_frames=2), bare])
    listed = subprocess.run(["tar", "tvf", str(root / SHARD)], capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in listed.splitlines()]
    kinds = ("rgb", "layout", "depth", "mask")
    assert names[:10] == [
        "log-0-000.meta.json",
        *(f"log-0-000.000.{camera}.{kind}.png" for camera in ("left", "right") for kind in kinds),
        "log-0-000.000.points.npy",
    ]
    assert names[19] == "bare-000.meta.json" and names[20] == "bare-000.000.left.rgb.png"
    assert all(line.startswith("-rw-r--r-- 0/0") and "1970-01-01" in line for line in listed.splitlines())


LONG = {"clip_id": "c" * 64, "cameras": ("front_" + "x" * 34, "rear_" + "x" * 35)}


def test_names_too_long_for_a_plain_header_come_back_and_plain_tar_reads_them(
    make_clip: MakeClip, write_store: WriteStore
) -> None:
    clip = make_clip(**LONG)
    root = write_store([clip])
    assert_same(ClipStore(root).load(clip.clip_id, verify=True), clip)
    listed = subprocess.run(["tar", "tf", str(root / SHARD)], capture_output=True, text=True, check=True).stdout
    assert listed.splitlines()[2] == f"{clip.clip_id}.000.{clip.cameras[0]}.layout.png"


def test_a_damaged_long_name_is_named(make_clip: MakeClip, write_store: WriteStore) -> None:
    clip = make_clip(**LONG)
    root = write_store([clip])
    (root / SHARD).write_bytes((root / SHARD).read_bytes().replace(b" path=", b" pest="))
    with pytest.raises(DataError, match=r"tar header at byte \d+ is damaged"):
        ClipStore(root).load(clip.clip_id)


def test_the_manifest_digest_is_over_contents_in_tar_order(make_clip: MakeClip, write_store: WriteStore) -> None:
    root = write_store([make_clip()])
    digest = hashlib.sha256()
    with tarfile.open(root / SHARD) as tar:
        for member in tar:
            digest.update(tar.extractfile(member).read())  # type: ignore[union-attr]
    assert ClipStore(root).row("log-0-000")["sha256"] == digest.hexdigest()


def test_packing_twice_gives_the_same_bytes(make_clip: MakeClip) -> None:
    assert pack_clip(make_clip()).data == pack_clip(make_clip()).data


def test_packing_checks_the_schema(make_clip: MakeClip) -> None:
    with pytest.raises(DataError, match="log-0-000: field depth_kind"):
        pack_clip(make_clip(depth_kind=None))


def test_some_frames_come_without_the_others_being_read(make_clip: MakeClip, write_store: WriteStore) -> None:
    clip = make_clip()
    root = write_store([clip])
    _overwrite_members(root / SHARD, lambda name: ".001." in name)
    some = ClipStore(root).load("log-0-000", frames=(0, 2))
    assert np.array_equal(some.rgb, clip.rgb[[0, 2]]) and some.times_s.tolist() == [0.0, 0.2]
    assert clip.layout_rgb is not None and np.array_equal(some.layout_rgb, clip.layout_rgb[[0, 2]])  # type: ignore[arg-type]
    assert clip.world_from_ego is not None and np.array_equal(some.world_from_ego, clip.world_from_ego[[0, 2]])  # type: ignore[arg-type]
    assert some.boxes is not None and len(some.boxes) == 2
    with pytest.raises(DataError, match=r"log-0-000\.001\.left\.\w+\.png does not decode"):
        ClipStore(root).load("log-0-000")


def test_a_frame_that_is_not_there_is_refused(make_clip: MakeClip, write_store: WriteStore) -> None:
    with pytest.raises(DataError, match="lacks a frame"):
        ClipStore(write_store([make_clip()])).load("log-0-000", frames=(4,))


def test_rows_and_ids_follow_the_manifest(make_clip: MakeClip, bare: Clip, write_store: WriteStore) -> None:
    store = ClipStore(write_store([make_clip(), bare], heldout_frames=(1,)))
    assert store.clip_ids() == store.clip_ids("train") == ["log-0-000", "bare-000"]
    assert store.clip_ids("val") == store.clip_ids(source="other") == []
    row = store.row("log-0-000")
    assert (row["cameras"], row["heldout_frames"], row["weather"]) == (["left", "right"], [1], "rain")
    assert json.loads(row["tags"])["seed"] == "1" and store.row("bare-000")["depth_kind"] is None
    assert list(store.manifest["has_boxes"]) == [True, False]
    with pytest.raises(DataError, match="clip nobody is not in"):
        store.row("nobody")


def test_a_truncated_shard_is_named_with_clip_and_member(make_clip: MakeClip, write_store: WriteStore) -> None:
    root = write_store([make_clip(), make_clip("log-0-001")])
    data = (root / SHARD).read_bytes()
    (root / SHARD).write_bytes(data[: len(data) - 3000])
    store = ClipStore(root)
    store.load("log-0-000", verify=True)
    with pytest.raises(DataError, match=r"shard shard-00000\.tar, clip log-0-001: .*(damaged|cut short)"):
        store.load("log-0-001")


def test_a_damaged_header_is_named(make_clip: MakeClip, write_store: WriteStore) -> None:
    root = write_store([make_clip()])
    data = bytearray((root / SHARD).read_bytes())
    data[3] ^= 0xFF
    (root / SHARD).write_bytes(data)
    with pytest.raises(DataError, match="tar header at byte 0 is damaged"):
        ClipStore(root).load("log-0-000")


def test_one_flipped_bit_is_found_on_request(make_clip: MakeClip, write_store: WriteStore) -> None:
    root = write_store([make_clip()])
    data = (root / SHARD).read_bytes()
    (root / SHARD).write_bytes(data.replace(b"a wet street", b"a wet streeT"))
    assert ClipStore(root).load("log-0-000").text == "a wet streeT"
    with pytest.raises(DataError, match="differ from the manifest"):
        ClipStore(root).load("log-0-000", verify=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [(b'"schema_version":2', b'"schema_version":9', "another's"), (b'{"K', b'["K', "cannot be read")],
)
def test_damaged_metadata_is_named(
    old: bytes, new: bytes, message: str, make_clip: MakeClip, write_store: WriteStore
) -> None:
    root = write_store([make_clip()])
    data = (root / SHARD).read_bytes()
    assert old in data
    (root / SHARD).write_bytes(data.replace(old, new))
    with pytest.raises(DataError, match=rf"shard-00000\.tar, clip log-0-000: log-0-000\.meta\.json .*{message}"):
        ClipStore(root).load("log-0-000")


def test_a_missing_shard_and_a_missing_manifest_are_named(make_clip: MakeClip, write_store: WriteStore) -> None:
    root = write_store([make_clip()])
    (root / SHARD).unlink()
    with pytest.raises(DataError, match=r"shard shard-00000\.tar is missing"):
        ClipStore(root).load("log-0-000")
    (root / "clips.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"clips\.parquet cannot be read"):
        ClipStore(root)
    (root / "clips.parquet").unlink()
    with pytest.raises(DataError, match=r"clips\.parquet cannot be read"):
        ClipStore(root)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, make_clip: MakeClip) -> None:
    shard = tmp_path / "shard.tar"
    aside_of(shard).symlink_to("/dev/full")
    with pytest.raises(WorkspaceError, match=r"the disk is full: .*shard\.tar"):
        write_shard(shard, [pack_clip(make_clip()).data])
    assert list(tmp_path.iterdir()) == []


def _overwrite_members(shard: Path, chosen: Callable[[str], bool]) -> None:
    data = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        for member in tar:
            if chosen(member.name):
                data[member.offset_data : member.offset_data + member.size] = bytes(member.size)
    shard.write_bytes(data)
