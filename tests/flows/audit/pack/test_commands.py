import json
from pathlib import Path

import pytest

from flows.audit.cards.schema import ModelCard
from flows.audit.pack.check import verify_pack
from flows.commands.pack import export_model, print_card
from tests.flows.audit.pack.conftest import Packed
from tests.flows.history import environment
from worldmodel.errors import RecordError


@pytest.fixture
def in_checkout(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> Packed:
    monkeypatch.chdir(packed.history.root)
    for name, value in environment(packed.history).items():
        monkeypatch.setenv(name, value)
    return packed


def test_export_says_what_it_wrote(in_checkout: Packed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_model("toy@champion", tmp_path, with_weights=False, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    path = tmp_path / in_checkout.path.name
    assert (found["path"], found["version"], found["bytes"]) == (str(path), "3", path.stat().st_size)
    assert verify_pack(path, in_checkout.roots).holds


def test_export_for_people_fits_the_screen(
    in_checkout: Packed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_model("toy/1", tmp_path / "one.tar.gz", with_weights=False, as_json=False) == 0
    told = capsys.readouterr().out
    assert "toy version 1" in told
    assert max(map(len, told.splitlines())) <= 80


def test_export_of_an_unknown_model_writes_nothing(in_checkout: Packed, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no model, version, run or digest"):
        export_model("nothing", tmp_path, with_weights=False, as_json=False)
    assert list(tmp_path.iterdir()) == []


def test_card_prints_markdown_or_json(in_checkout: Packed, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_card("toy", at=None, as_json=False) == 0
    markdown = capsys.readouterr().out
    assert markdown.startswith("# toy version 3\n")
    assert print_card("toy", at=None, as_json=True) == 0
    card = ModelCard.model_validate(json.loads(capsys.readouterr().out))
    assert markdown == (in_checkout.folder / "cards" / "model-card.md").read_text()
    assert card.model_dump(mode="json") == json.loads((in_checkout.folder / "cards" / "model-card.json").read_text())


def test_a_card_can_be_had_as_of_a_time(in_checkout: Packed, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_card("toy/1", at=in_checkout.history.after[0], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["standing"]["champion"] is True
    assert print_card("toy/1", at=None, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["standing"]["champion"] is False


def test_no_card_is_made_of_records_that_do_not_hold(in_checkout: Packed) -> None:
    made = in_checkout.history
    path = made.records.path(made.records.run(made.runs[2].run_id).files["dvc.lock"])  # no card reads it
    content = path.read_bytes()
    try:
        path.write_bytes(content + b"#")
        with pytest.raises(RecordError, match=r"dvc\.lock"):
            print_card("toy/3", at=None, as_json=True)
    finally:
        path.write_bytes(content)
