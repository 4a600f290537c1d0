"""More runs on top of a history, with a twist each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.runs import RunRecord
from tests.flows import history
from tests.flows.history import GOOD, History, add_run


def add_pupil(made: History, patch: pytest.MonkeyPatch, *, teacher: str | None = None) -> RunRecord:
    """A run that takes the tokenizer of run 1 (or weights of this digest) and learns from other logs.

    `log-b`, which trained that tokenizer, measures the pupil; so does `log-d`, and `log-e` trains it.
    """
    taken = teacher or str(made.runs[0].model["parts"]["tokenizer"])
    make_entry = history._lock_entry

    def entry(*arguments: Any) -> dict[str, Any]:
        found = make_entry(*arguments)
        section = found["params"]["params.yaml"].get("train_tokenizer")
        if section is not None:
            found["params"]["params.yaml"]["train_tokenizer"] = {**section, "pretrained": {"sha256": taken}}
        return found

    with patch.context() as during:
        during.setattr(history, "_lock_entry", entry)
        during.setitem(history.SPLITS, "log-b", "test")
        return add_run(made, "pupil", ("log-b", "log-c", "log-d", "log-e"), GOOD, turn=4)


def add_with_rows(
    made: History, patch: pytest.MonkeyPatch, logs: Sequence[str], **changes: dict[str, Any]
) -> RunRecord:
    """A run whose clips have other columns: changes by the clip's id with `_` for `-`."""
    make_row = history._row

    def row(clip: str, *arguments: Any) -> Any:
        return {**make_row(clip, *arguments), **changes.get(clip.replace("-", "_"), {})}

    with patch.context() as during:
        during.setattr(history, "_row", row)
        return add_run(made, "other rows", tuple(logs), GOOD, turn=4)


def add_renumbered(made: History, patch: pytest.MonkeyPatch) -> None:
    """A run whose second and third shard have each other's names."""
    make_clips, make_row = history._write_clips, history._row
    others = {"shard-00001.tar": "shard-00002.tar", "shard-00002.tar": "shard-00001.tar"}

    def write(out: Path, logs: tuple[str, ...]) -> None:
        make_clips(out, logs)
        second, third = (out / "shards" / name for name in others)
        content = second.read_bytes()
        second.write_bytes(third.read_bytes())
        third.write_bytes(content)

    def row(clip: str, split: str, shard: str, offset: int) -> Any:
        return make_row(clip, split, others.get(shard, shard), offset)

    with patch.context() as during:
        during.setattr(history, "_write_clips", write)
        during.setattr(history, "_row", row)
        add_run(made, "one", ("log-b", "log-c", "log-d"), GOOD, turn=4)


def add_failed(made: History, patch: pytest.MonkeyPatch) -> str:
    """A run that prepared its data, and then failed; its id."""
    found: list[str] = []

    def conclude(made: History, run: RunRecord, recorder: Any, *_: Any) -> None:
        history.Runs(made.state).finish(run, "failed", 1)
        recorder.close(history.Runs(made.state).folder(run.run_id), "", None)
        found.append(run.run_id)

    with patch.context() as during:
        during.setattr(history, "PARENTS", {"prepare": ()})
        during.setattr(history, "_conclude", conclude)
        add_run(made, "one", ("log-b", "log-c", "log-d", "log-e"), GOOD, turn=5)
    return found[0]
