import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel.data.adapters.dgp import DgpSource
from worldmodel.data.atomic import aside_of
from worldmodel.data.config import PrepareConfig
from worldmodel.data.prepare import Orders, prepare
from worldmodel.data.recalls import Recalls
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore
from worldmodel.data.sources import Source
from worldmodel.errors import DataError, ParamsError, Preempted, StageError, WorkspaceError

WriteScenes = Callable[..., Path]
ROOT = Path(__file__).parents[3]


def config(**changes: Any) -> PrepareConfig:
    small = {"height": 20, "width": 30, "synthetic": {"height": 20, "width": 30}, "workers": 1, "clips_per_shard": 2}
    return PrepareConfig.model_validate(small | changes)


def street(root: Path) -> DgpSource:
    return DgpSource(root.name, root, f"digest of {root.name}", (20, 30), clip_frames=20)


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    def run(
        *sources: Source, out: str = "out", resume: str = "resume", orders: Orders | None = None, **changes: Any
    ) -> Path:
        prepare(sources, config(**changes), 0, tmp_path / out, tmp_path / resume, orders)
        return tmp_path / out

    return run


Run = Callable[..., Path]


def test_logs_become_shards_split_by_log(run: Run, write_scenes: WriteScenes) -> None:
    out = run(street(write_scenes(7)))
    store = ClipStore(out)
    by_split = {split: store.clip_ids(split) for split in ("train", "val", "test")}
    assert {split: len(ids) for split, ids in by_split.items()} == {"train": 5, "val": 1, "test": 1}
    assert sorted(chain(*by_split.values())) == [f"street-scene_{k:02d}-000" for k in range(7)]
    assert sorted(contents(out)) == [
        "clips.parquet",
        "not_included.json",
        *(f"shards/shard-{k:05d}.tar" for k in range(5)),
    ]
    for clip_id in store.clip_ids():
        row = store.row(clip_id)
        clip = store.load(clip_id, verify=True)
        assert (clip.log_id, clip.source, clip.cameras) == (row["log_id"], "street", tuple(row["cameras"]))
        assert row["heldout_frames"] == [] and row["depth_kind"] == "lidar" and row["has_poses"]
    shards = store.manifest.groupby("shard")["split"]
    assert (shards.nunique() == 1).all() and (shards.size() <= 2).all()


def test_what_a_source_lacks_is_written(run: Run, write_scenes: WriteScenes) -> None:
    out = run(street(write_scenes(3)))
    not_included = json.loads((out / "not_included.json").read_text())
    lacking = dict.fromkeys(["dynamic", "layout", "layout_video", "sky", "text"], 3)
    assert not_included == {"logs": [], "clips_without": {"street": lacking}, "kept_rates": {}}


def test_a_rate_above_the_one_asked_for_is_said(run: Run, write_scenes: WriteScenes) -> None:
    out = run(street(write_scenes(3)), rate_hz=4.0)
    assert json.loads((out / "not_included.json").read_text())["kept_rates"] == {"street": {"10 Hz": 3}}


def test_pinned_logs_get_their_split_and_the_others_theirs_by_rank(run: Run, write_scenes: WriteScenes) -> None:
    pins = {f"street-scene_{k:02d}": split for k, split in ((0, "test"), (1, "val"), (5, "train"))}
    elsewhere = {"cars-0": "val"}
    manifest = ClipStore(run(street(write_scenes(6)), pinned_splits=pins | elsewhere)).manifest
    splits = dict(zip(manifest["log_id"], manifest["split"], strict=True))
    assert {log_id: splits[log_id] for log_id in pins} == pins
    assert sorted(splits[f"street-scene_{k:02d}"] for k in (2, 3, 4)) == ["test", "train", "val"]


def test_a_single_log_that_is_pinned_to_test_is_measured_whole(run: Run, write_scenes: WriteScenes) -> None:
    many, one = street(write_scenes(3, name="many")), street(write_scenes(1, name="one"))
    store = ClipStore(run(many, one, pinned_splits={"one-scene_00": "test"}, same_log="leave_out"))
    assert (store.row("one-scene_00-000")["split"], store.row("one-scene_00-000")["heldout_frames"]) == ("test", [])


def test_pins_that_cannot_be_kept_are_refused(run: Run, write_scenes: WriteScenes) -> None:
    source = street(write_scenes(2))
    with pytest.raises(ParamsError, match="source street has no log street-scene_7") as raised:
        run(source, pinned_splits={"street-scene_7": "test"})
    assert raised.value.expected == "street-scene_00, street-scene_01"
    with pytest.raises(ParamsError, match="leaves no log to train on"):
        run(source, pinned_splits={"street-scene_00": "test", "street-scene_01": "val"})


def test_the_output_does_not_depend_on_workers_or_on_the_run(run: Run, write_scenes: WriteScenes) -> None:
    source = street(write_scenes(4))
    alone = contents(run(source, out="a", resume="a-resume"))
    together = contents(run(source, out="b", resume="b-resume", workers=2))
    again = contents(run(source, out="c", resume="b-resume", workers=2))
    assert alone == together == again


def test_a_single_log_trains_with_its_target_frames_held_out(run: Run, write_scenes: WriteScenes) -> None:
    row = ClipStore(run(street(write_scenes(1)))).row("street-scene_00-000")
    assert (row["split"], row["heldout_frames"]) == ("train", [1])


def test_a_single_log_can_be_left_out_and_that_is_said(run: Run, write_scenes: WriteScenes) -> None:
    many, one = street(write_scenes(3, name="many")), street(write_scenes(1, name="one"))
    out = run(many, one, same_log="leave_out")
    assert set(ClipStore(out).manifest["source"]) == {"many"}
    (left_out,) = json.loads((out / "not_included.json").read_text())["logs"]
    assert left_out["log_id"] == "one-scene_00" and "leave_out" in left_out["reason"]
    with pytest.raises(DataError, match="no log can be used"):
        run(one, out="none", same_log="leave_out")


def test_a_broken_log_is_named_and_quarantined(run: Run, write_scenes: WriteScenes) -> None:
    root = write_scenes(4)
    (root / "scene_02/rgb/CAMERA_01/1.png").write_bytes(b"no picture")
    for workers in (1, 2):
        out = run(street(root), out=f"out-{workers}", workers=workers)
        (log,) = json.loads((out / "not_included.json").read_text())["logs"]
        assert (log["source"], log["log_id"]) == ("street", "street-scene_02")
        assert "street/scene_02/rgb/CAMERA_01/1.png cannot be read" in log["reason"]
        assert str(root) not in log["reason"]
        assert set(ClipStore(out).manifest["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_log_fails_the_stage_if_so_configured(workers: int, run: Run, write_scenes: WriteScenes) -> None:
    root = write_scenes(4)
    (root / "scene_02/calibration/rig.json").write_text("{}")
    with pytest.raises(DataError, match=r"log street-scene_02: street/scene_02/calibration/rig\.json: field"):
        run(street(root), on_broken_log="fail", workers=workers)


def test_nothing_but_broken_logs_is_an_error(run: Run, write_scenes: WriteScenes) -> None:
    root = write_scenes(2)
    for scene in root.glob("scene_*"):
        (scene / "calibration/rig.json").unlink()
    with pytest.raises(DataError, match="no log can be used") as raised:
        run(street(root))
    assert "street-scene_01" in raised.value.got


def test_a_log_mended_later_is_read_on_the_next_run(run: Run, write_scenes: WriteScenes) -> None:
    root = write_scenes(3)
    file = root / "scene_01/calibration/rig.json"
    good = file.read_text()
    file.write_text("{}")
    run(street(root), out="broken")
    file.write_text(good)
    assert len(ClipStore(run(street(root), out="mended")).manifest) == 3


def test_progress_counts_logs_and_a_stop_keeps_what_is_done(run: Run, write_scenes: WriteScenes) -> None:
    source, seen = street(write_scenes(4)), list[tuple[int, int]]()
    orders = Orders(progress=lambda done, total: seen.append((done, total)), should_stop=lambda: len(seen) > 2)
    with pytest.raises(Preempted):
        run(source, orders=orders)
    assert seen == [(0, 4), (1, 4), (2, 4)]
    seen.clear()
    run(source, orders=Orders(progress=lambda done, total: seen.append((done, total))))
    assert seen == [(2, 4), (3, 4), (4, 4)]


def test_parts_of_other_settings_are_not_mixed_in(run: Run, write_scenes: WriteScenes) -> None:
    root = write_scenes(3)
    run(street(root), out="a")
    small = DgpSource("street", root, "digest of street", (16, 24), 20)
    out = run(small, out="b", height=16, width=24, synthetic={"height": 16, "width": 24})
    assert set(ClipStore(out).manifest["height"]) == {16}


def test_killed_with_9_in_the_middle_it_goes_on_to_the_same_bytes(
    tmp_path: Path, run: Run, write_scenes: WriteScenes
) -> None:
    root = write_scenes(6)
    undisturbed = contents(run(street(root), out="undisturbed", resume="other"))
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from worldmodel.data.adapters.dgp import DgpSource
        from worldmodel.data.config import PrepareConfig
        from worldmodel.data.prepare import Orders, prepare

        def progress(done, total):
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        if __name__ == "__main__":
            source = DgpSource("street", Path({str(root)!r}), "digest of street", (20, 30), 20)
            config = PrepareConfig.model_validate_json({config(workers=2).model_dump_json()!r})
            out, resume = Path({str(tmp_path / "out")!r}), Path({str(tmp_path / "resume")!r})
            prepare([source], config, 0, out, resume, Orders(progress=progress))
        """)
    )
    killed = subprocess.run([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -9 and not (tmp_path / "out").exists()
    seen: list[int] = []
    out = run(street(root), orders=Orders(progress=lambda done, total: seen.append(done)))
    assert seen[0] >= 3 and contents(out) == undisturbed


def test_damaged_resume_state_is_a_clear_error(tmp_path: Path, run: Run, write_scenes: WriteScenes) -> None:
    source = street(write_scenes(3))
    run(source, out="a")
    (clips,) = (tmp_path / "resume").rglob("street-scene_01/clips.bin")
    data = bytearray(clips.read_bytes())
    data[700] ^= 1
    clips.write_bytes(data)
    with pytest.raises(DataError, match="resume state of log street-scene_01 is damaged") as raised:
        run(source, out="b")
    assert str(clips.parent) in raised.value.fix
    (clips.parent / "part.json").write_text("[{")
    with pytest.raises(DataError, match=r"unreadable part\.json"):
        run(source, out="b")


def test_a_full_disk_is_a_clear_error_that_leaves_nothing_half_written(
    tmp_path: Path, run: Run, write_scenes: WriteScenes
) -> None:
    source = street(write_scenes(3))
    (tmp_path / "out/shards").mkdir(parents=True)
    aside_of(tmp_path / "out/shards/shard-00000.tar").symlink_to("/dev/full")
    with pytest.raises(WorkspaceError, match=r"the disk is full: .*shard-00000\.tar"):
        run(source)
    assert contents(tmp_path / "out") == {}
    seen: list[int] = []
    run(source, orders=Orders(progress=lambda done, total: seen.append(done)))
    assert seen == [3], "the logs that were read are kept"


class HandSource:
    """A source of given clips, for what no recorded source does."""

    name, licence = "hand", "CC0-1.0"

    def __init__(self, *clips: Clip, fails_with: Exception | None = None) -> None:
        self.clips, self.fails_with = clips, fails_with

    def digest(self) -> str:
        return "by hand"

    def log_ids(self) -> list[str]:
        return [clip.log_id for clip in self.clips]

    def read_log(self, log_id: str) -> list[Clip]:
        if self.fails_with:
            raise self.fails_with
        return [clip for clip in self.clips if clip.log_id == log_id]


def logs_of(make_clip: Callable[..., Clip], *log_ids: str) -> list[Clip]:
    return [make_clip(f"{log_id}-000", log_id) for log_id in log_ids]


def test_ids_used_twice_are_refused(run: Run, make_clip: Callable[..., Clip]) -> None:
    a, b = logs_of(make_clip, "a", "b")
    with pytest.raises(DataError, match="log ids are used twice"):
        run(HandSource(a, a))
    with pytest.raises(DataError, match="clip ids are used twice"):
        run(HandSource(a, replace(b, clip_id=a.clip_id)))


def test_a_log_with_an_unusable_name_is_quarantined(run: Run, make_clip: Callable[..., Clip]) -> None:
    a, b = logs_of(make_clip, "a", "b")
    source = HandSource(a, replace(b, log_id="up/down"))
    (log,) = json.loads((run(source) / "not_included.json").read_text())["logs"]
    assert log["log_id"] == "up/down" and "log id up/down is not a usable name" in log["reason"]
    with pytest.raises(DataError, match=r"log id up/down is not a usable name"):
        run(source, out="none", on_broken_log="fail")


def test_a_clip_that_breaks_the_schema_quarantines_its_log(run: Run, make_clip: Callable[..., Clip]) -> None:
    a, b, c, d = logs_of(make_clip, "a", "b", "c", "d")
    out = run(HandSource(a, b, c, replace(d, rgb=d.rgb.astype(np.float32))))
    (log,) = json.loads((out / "not_included.json").read_text())["logs"]
    assert log["log_id"] == "d" and "field rgb breaks the schema" in log["reason"]


def test_a_clip_of_another_source_quarantines_its_log(run: Run, make_clip: Callable[..., Clip]) -> None:
    a, b = logs_of(make_clip, "a", "b")
    out = run(HandSource(a, replace(b, source="elsewhere")))
    (log,) = json.loads((out / "not_included.json").read_text())["logs"]
    assert "expected: log b of hand got: log b of elsewhere" in log["reason"]


def test_an_error_of_the_program_is_not_quarantined(run: Run, make_clip: Callable[..., Clip]) -> None:
    with pytest.raises(StageError, match="reading log a failed: ZeroDivisionError"):
        run(HandSource(*logs_of(make_clip, "a"), fails_with=ZeroDivisionError("by zero")))


def test_a_single_frame_cannot_be_held_out(run: Run, make_clip: Callable[..., Clip]) -> None:
    store = ClipStore(run(HandSource(make_clip("a-000", "a", n_frames=1))))
    assert store.row("a-000")["heldout_frames"] == []


def recalled(*logs: str, clips: tuple[str, ...] = ()) -> Orders:
    return Orders(Recalls(frozenset(logs), frozenset(clips)))


def splits_of(out: Path) -> dict[str, str]:
    manifest = ClipStore(out).manifest
    return dict(zip(manifest["log_id"], manifest["split"], strict=True))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_recalled_log_is_not_read_and_leaves_every_other_log_in_its_split(
    split: str, run: Run, write_scenes: WriteScenes
) -> None:
    root = write_scenes(8)
    before = splits_of(run(street(root), out="before"))
    log_id = next(name for name, of in before.items() if of == split)
    (root / log_id.removeprefix("street-") / "calibration/rig.json").write_text("{}")  # reading it would say so
    out = run(street(root), out="after", resume="anew", orders=recalled(log_id, "elsewhere-0"))
    assert splits_of(out) == {name: of for name, of in before.items() if name != log_id}
    (left_out,) = json.loads((out / "not_included.json").read_text())["logs"]
    assert left_out == {"source": "street", "log_id": log_id, "reason": "recalled"}


def test_recalls_of_other_sources_change_no_byte(run: Run, write_scenes: WriteScenes) -> None:
    source = street(write_scenes(4))
    plain = run(source, out="plain")
    assert contents(run(source, out="same", orders=recalled("cars-3", clips=("cars-4-000",)))) == contents(plain)
    assert set(json.loads((plain / "not_included.json").read_text())) == {"logs", "clips_without", "kept_rates"}


def test_a_recalled_clip_is_left_out_and_its_log_stays(run: Run, make_clip: Callable[..., Clip]) -> None:
    clips = [make_clip(f"{log_id}-00{k}", log_id) for log_id in "abcde" for k in range(2)]

    class Logs(HandSource):
        def log_ids(self) -> list[str]:
            return list("abcde")

    before = splits_of(run(Logs(*clips), out="before"))
    out = run(Logs(*clips), out="after", orders=recalled(clips=("b-001", "c-000", "c-001")))
    assert splits_of(out) == {name: split for name, split in before.items() if name != "c"}
    assert sorted(ClipStore(out).clip_ids()) == ["a-000", "a-001", "b-000", "d-000", "d-001", "e-000", "e-001"]
    not_included = json.loads((out / "not_included.json").read_text())
    assert [clip["clip_id"] for clip in not_included["clips"]] == ["b-001", "c-000", "c-001"]
    assert not_included["clips"][0] == {"source": "hand", "log_id": "b", "clip_id": "b-001", "reason": "recalled"}
    assert not_included["logs"] == [{"source": "hand", "log_id": "c", "reason": "recalled"}]


def test_pins_may_name_a_recalled_log(run: Run, write_scenes: WriteScenes) -> None:
    out = run(street(write_scenes(4)), pinned_splits={"street-scene_02": "test"}, orders=recalled("street-scene_02"))
    assert "street-scene_02" not in splits_of(out)


def test_a_recall_of_all_there_is_to_train_on_is_an_error_that_says_so(run: Run, write_scenes: WriteScenes) -> None:
    source = street(write_scenes(2))
    (trains,) = [name for name, split in splits_of(run(source, out="before")).items() if split == "train"]
    with pytest.raises(ParamsError, match=r"what is recalled left out.* no log to train on"):
        run(source, orders=recalled(trains))
    with pytest.raises(DataError, match="no log can be used") as raised:
        run(source, orders=recalled("street-scene_00", "street-scene_01"))
    assert "street-scene_01: recalled" in raised.value.got


def test_a_recalled_only_log_is_called_recalled_and_not_single(run: Run, write_scenes: WriteScenes) -> None:
    many, one = street(write_scenes(3, name="many")), street(write_scenes(1, name="one"))
    out = run(many, one, same_log="leave_out", orders=recalled("one-scene_00"))
    assert [log["reason"] for log in json.loads((out / "not_included.json").read_text())["logs"]] == ["recalled"]


def test_a_recall_reads_no_other_log_again(run: Run, write_scenes: WriteScenes) -> None:
    source, seen = street(write_scenes(4)), list[tuple[int, int]]()
    run(source, out="before")
    orders = replace(recalled("street-scene_01"), progress=lambda done, total: seen.append((done, total)))
    run(source, out="after", orders=orders)
    assert seen == [(3, 3)]
