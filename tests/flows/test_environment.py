"""What stages are started with: nothing that signs, and nothing that opens a store or a server."""

from pathlib import Path

import pytest

from flows.environment import DRIVERS_OWN, shown_address, stage_environment

SECRET = "correct-horse"


def test_no_key_password_or_address_of_a_store_reaches_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DRIVERS_OWN:
        monkeypatch.setenv(name, f"postgresql://ann:{SECRET}@db/ledger")
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", f"/keys/{SECRET}.pem")
    found = stage_environment(tmp_path)
    assert not [name for name, value in found.items() if SECRET in value]
    assert {"PGPASSWORD", "MLFLOW_TRACKING_PASSWORD", "WORLDMODEL_KEY_PASSPHRASE"} <= set(DRIVERS_OWN)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ann:secret@mlflow.example:5000/x", "https://mlflow.example:5000/x"),
        ("postgresql://ann@db/mlflow", "postgresql://db/mlflow"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/ann@home/mlflow.db", "sqlite:////home/ann@home/mlflow.db"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert shown_address(url) == shown
