"""States on disk: damage is known, only the newest two stay."""

from pathlib import Path

import pytest
import torch

from worldmodel.training.resume import load_state, save_state


def test_without_any_intact_state_training_starts_from_zero(tmp_path: Path) -> None:
    said: list[str] = []
    for step in (1, 2):
        save_state(tmp_path, step, {"step": step}).write_bytes(b"cut")
    assert load_state(tmp_path, said.append) is None
    assert len(said) == 2
    assert list(tmp_path.iterdir()) == []


def test_only_the_newest_two_states_are_kept_and_half_written_ones_are_not_states(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save_state(tmp_path, step, {"step": step, "weights": torch.arange(3)})
    (tmp_path / ".step-00000020-0000.pt.77").write_bytes(b"half")
    assert [path.name[:13] for path in sorted(tmp_path.glob("step-*"))] == ["step-00000010", "step-00000015"]
    state = load_state(tmp_path, pytest.fail)
    assert state is not None
    assert state["step"] == 15
