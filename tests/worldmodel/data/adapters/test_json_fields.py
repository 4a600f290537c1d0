from pathlib import Path

import pytest

from worldmodel.data.adapters.json_fields import JsonField
from worldmodel.errors import DataError


@pytest.fixture
def field(tmp_path: Path) -> JsonField:
    (tmp_path / "f.json").write_text('{"a": [{"x": 1, "y": 2.5}, {"x": true}], "name": "", "far": 1e999}')
    return JsonField.of_file(tmp_path / "f.json", "data/f.json")


def test_values_come_by_their_way(field: JsonField) -> None:
    first, _ = field["a"]
    assert first.numbers("x", "y").tolist() == [1, 2.5] and first["y"].way == "a[0].y"
    assert "x" in first and "z" not in first and "z" not in field["a"]


def test_each_fault_names_file_and_field(field: JsonField) -> None:
    _, second = field["a"]
    with pytest.raises(DataError, match=r"data/f\.json: field a\[1\]\n  expected: a field y"):
        second.numbers("y")
    with pytest.raises(DataError, match=r"field a\[1\]\.x\n  expected: a finite number\n  got: True"):
        second.numbers("x")
    with pytest.raises(DataError, match=r"field far\n  expected: a finite number"):
        _ = field["far"].number
    with pytest.raises(DataError, match=r"field name\n  expected: text"):
        _ = field["name"].text
    with pytest.raises(DataError, match=r"field name\n  expected: a list\n  got: str"):
        list(field["name"])
