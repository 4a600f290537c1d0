"""The registered model hands its inputs on: a rendered prior too, which MLflow's signature leaves to the methods."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.worldmodel.worldgen.test_inference import FIRST, LAYOUT, write
from worldmodel.worldgen.inference import load_generator

if TYPE_CHECKING:
    from flows.serving import WorldModel

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> "WorldModel":
    from flows.serving import WorldModel

    root = write(tmp_path_factory.mktemp("bundle"))
    served = WorldModel()
    served.worldgen = load_generator(root / "tokenizer", root / "worldgen")
    return served


def test_generate_takes_a_prior_and_predict_goes_without(model: "WorldModel") -> None:
    alpha = np.full(LAYOUT.shape[:3], 255, np.uint8)
    plain = model.predict(None, {"first_frame": FIRST, "layout": LAYOUT})["rgb"]
    steered = model.generate(FIRST, LAYOUT, prior=255 - LAYOUT, prior_alpha=alpha)["rgb"]
    assert np.array_equal(plain, model.generate(FIRST, LAYOUT)["rgb"])
    assert not np.array_equal(plain[1:], steered[1:])


def test_the_signature_asks_for_the_first_frame_and_the_layout_alone() -> None:
    from flows.registry import _generates

    assert _generates().inputs.input_names() == ["first_frame", "layout"]
