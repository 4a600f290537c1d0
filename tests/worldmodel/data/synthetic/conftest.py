"""One recorded clip in clear daylight, shared by the tests that look at it."""

import pytest

from worldmodel.data.schema import Clip
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource


@pytest.fixture(scope="session")
def day_clip() -> Clip:
    config = SyntheticConfig(logs=2, clips_per_log=1, frames=11, weathers=("clear",), times_of_day=("day",))
    return SyntheticSource(config, seed=0).read_log("synthetic-0001")[0]
