"""Numbers as DVC spells them are numbers again."""

from io import StringIO

import pytest
import ruamel.yaml
import yaml

from flows import dvc_yaml

VALUES = [5e-05, 1e-8, 2.5e-07, -3e-06, 1e16, 1e22, 0.004, 3, "5e", "e-05", "1e5x", True, None]


@pytest.mark.parametrize("value", VALUES)
def test_what_dvc_writes_is_read_back(value: object) -> None:
    text = StringIO()
    ruamel.yaml.YAML().dump({"params": {"lr": value}}, text)  # the library that DVC writes with
    found = dvc_yaml.load(text.getvalue())["params"]["lr"]
    assert found == value and type(found) is type(value)


def test_code_in_a_document_is_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        dvc_yaml.load("!!python/object/apply:os.getcwd []")
