import json
import math

import pytest

from evaluation.training import History, read_history, training_facts
from worldmodel.errors import DataError


def history(*losses):
    return History(loss=tuple((10 * i, loss) for i, loss in enumerate(losses, 1)))


def test_the_first_and_last_tenth_are_compared():
    facts = training_facts(history(*[1.0] * 2, *[0.5] * 16, *[0.2] * 2))
    assert (facts.loss_first_tenth, facts.loss_last_tenth, facts.steps) == (1.0, 0.2, 200)
    assert facts.loss_fell
    assert facts.sentence == "The training loss fell: 1.0000 in the first tenth of 200 steps, 0.2000 in the last."


def test_a_loss_that_rose_or_stayed_is_said_not_to_have_fallen():
    assert not training_facts(history(0.2, 0.3)).loss_fell
    assert "did not fall" in training_facts(history(0.2, 0.2)).sentence


@pytest.mark.parametrize("losses", [(1.0, math.nan), (math.inf, 0.1)])
def test_a_loss_that_is_not_finite_did_not_fall(losses):
    facts = training_facts(history(*losses))
    assert not facts.loss_fell and "NaN or infinite" in facts.sentence


@pytest.mark.parametrize("losses", [(), (1.0,)])
def test_too_short_a_history_says_so(losses):
    facts = training_facts(history(*losses))
    assert not facts.loss_fell and "too few" in facts.sentence


def test_a_history_file_is_read_with_the_steps_that_have_a_value(tmp_path):
    rows = [
        {"step": 10, "loss": 0.5, "lr": 1e-3},
        {"step": 20, "loss": 0.4, "val_psnr": 18.0, "val_psnr_nearest": 17.0},
    ]
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"steps": rows, "left_out": []}))
    assert read_history(path) == History(((10, 0.5), (20, 0.4)), ((20, 18.0),), ((20, 17.0),))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"steps": [{"loss": 1}]}', '{"steps": [3]}', '{"steps": null}'])
def test_a_broken_history_is_named(tmp_path, text):
    path = tmp_path / "history.json"
    path.write_text(text)
    with pytest.raises(DataError, match="not a readable training history"):
        read_history(path)


def test_a_missing_history_is_named(tmp_path):
    with pytest.raises(DataError, match=r"history\.json"):
        read_history(tmp_path / "history.json")
