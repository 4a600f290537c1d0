import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.data.recalls import Recalls, read_recalls, recalls_json
from worldmodel.errors import DataError

IDS = st.frozensets(st.text(min_size=1, max_size=8), max_size=4)


def test_the_file_holds_sorted_ids_and_nothing_else() -> None:
    text = recalls_json(Recalls(frozenset({"b", "a"}), frozenset({"c-000"})))
    assert json.loads(text) == {"version": 1, "logs": ["a", "b"], "clips": ["c-000"]}
    assert text == recalls_json(Recalls(frozenset(["a", "b"]), frozenset(["c-000"])))


@settings(max_examples=30)
@given(logs=IDS, clips=IDS)
def test_what_is_written_is_read(logs: frozenset[str], clips: frozenset[str], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("recalls") / "recalls.json"
    path.write_text(recalls_json(Recalls(logs, clips)), encoding="utf-8")
    assert read_recalls(path) == Recalls(logs, clips)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "cannot be read"),
        ("[]", "other fields"),
        ('{"version": 1, "logs": []}', "other fields"),
        ('{"version": 1, "logs": [], "clips": [], "why": "x"}', "other fields"),
        ('{"version": 2, "logs": [], "clips": []}', "another version"),
        ('{"version": 1, "logs": "a", "clips": []}', "logs is no list of ids"),
        ('{"version": 1, "logs": [], "clips": [7]}', "clips is no list of ids"),
    ],
)
def test_another_file_is_refused_by_name(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "recalls.json"
    path.write_text(text)
    with pytest.raises(DataError, match=expected) as raised:
        read_recalls(path)
    assert str(path) in raised.value.what


def test_a_missing_file_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read") as raised:
        read_recalls(tmp_path / "recalls.json")
    assert "worldmodel run" in raised.value.fix
