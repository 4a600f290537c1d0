import subprocess
import sys

import pytest
from pydantic import ValidationError

from worldmodel.data.config import PrepareConfig, SplitFractions


def test_defaults_are_valid() -> None:
    assert PrepareConfig().synthetic.height == PrepareConfig().height


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="clips_per_tar"):
        PrepareConfig.model_validate({"clips_per_tar": 4})


def test_shares_must_add_up() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1, not 0\.9"):
        SplitFractions(train=0.7, val=0.1, test=0.1)


def test_all_images_have_one_size() -> None:
    with pytest.raises(ValidationError, match=r"\(32, 96\), not \(64, 96\)"):
        PrepareConfig(height=32)
    assert PrepareConfig.model_validate({"height": 32, "synthetic": {"height": 32}}).height == 32


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, worldmodel.data.config; print(*{'torch', 'pandas', 'pyarrow', 'PIL', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
