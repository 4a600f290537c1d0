from pathlib import Path

import pytest

from flows.commands.metrics import fetch_weights
from worldmodel.errors import DataError


def test_a_place_for_unknown_weights_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLDMODEL_METRICS_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(DataError, match="no weights are called i3d"):
        fetch_weights(as_json=False, quiet=False, origins=["i3d=/a.ckpt"])
    assert not (tmp_path / "weights").exists() and capsys.readouterr().err == ""


def test_a_folder_without_the_weights_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_METRICS_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(DataError, match=r"empty/i3d-k400\.safetensors cannot be read"):
        fetch_weights(as_json=False, quiet=False, origins=[f"{tmp_path}/empty"])
