"""Wrong params are told with the file, the key, what was expected and the way out."""

from pathlib import Path

import pytest

from flows.params import read_params
from flows.profile import profile_path, read_profile
from worldmodel.errors import ParamsError

ROOT = Path(__file__).parents[2]


def edited(tmp_path: Path, old: str, new: str) -> Path:
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_an_unknown_key_deep_inside_is_named_with_the_keys_that_exist(tmp_path: Path) -> None:
    path = edited(tmp_path, "steps: ", "stepz: 3, steps: ")
    with pytest.raises(ParamsError) as caught:
        read_profile(path)
    assert "train_worldrec.train.stepz" in caught.value.got
    assert "train_worldrec.train has steps, lr" in caught.value.expected
    assert "worldmodel.worldrec.config.TrainConfig" in caught.value.fix


def test_a_wrong_type_names_key_and_value(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        read_profile(edited(tmp_path, "seed: 7", "seed: lucky"))
    assert "seed" in caught.value.got and "'lucky'" in caught.value.got


def test_sections_that_disagree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        read_profile(edited(tmp_path, "context_stride: 5", "context_stride: 4"))
    assert "context stride must be the same everywhere" in caught.value.got


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    path = edited(tmp_path, "seed: 7", "seed: [7")
    with pytest.raises(ParamsError, match="not valid YAML") as caught:
        read_params(path)
    assert "line" in caught.value.got


@pytest.mark.parametrize(("text", "what"), [("", "not a mapping"), ("- 1\n", "not a mapping")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=what):
        read_params(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file"):
        read_params(tmp_path / "params.yaml")


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(ParamsError) as caught:
        profile_path(ROOT, "huge")
    assert caught.value.expected == "tiny or debug or paper"
