"""One evaluation of both kinds, and what pages are read with."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluation.config import EvaluateConfig
from evaluation.protocols import PRESETS
from evaluation.report import Report
from evaluation.suite import Measured, evaluate
from tests.evaluation.generation.toy import PRESET, ToyVideoNetworks, write_rollouts

CONFIG = EvaluateConfig(protocol="debug", bootstrap_resamples=100, overview_samples=2)
CLIPS = [{"log": f"test-{i}", "noise": 0.02 + 0.05 * i} for i in range(4)]
CLIPS += [{"log": f"train-{i}", "split": "train", "same_log": True} for i in range(4)]


@dataclass(frozen=True)
class Evaluated:
    """A report and what it was measured on."""

    report: Report
    measured: Measured


@pytest.fixture(scope="session")
def evaluated(write_measured: Callable[..., Measured], tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """Four test clips with renders and videos, and four training clips for reference; do not write into it."""
    return evaluate_clips(write_measured(tmp_path_factory.mktemp("page"), *CLIPS))


def evaluate_clips(measured: Measured) -> Evaluated:
    rollout = write_rollouts(measured.prepare.parent / "rollout", measured.prepare)
    measured = replace(measured, rollout=rollout, networks=ToyVideoNetworks())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "debug", PRESETS["debug"].model_copy(update={"generation": PRESET}))
        return Evaluated(evaluate(measured, CONFIG, 0), replace(measured, networks=None))


@dataclass
class Read(HTMLParser):
    """A page's elements with their attributes, and its text; of scripts and styles the text stands apart."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def of(cls, path: Path) -> "Read":
        read = cls()
        read.feed(path.read_text("utf-8"))
        return read

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.code[self.cdata_elem] = self.code.get(self.cdata_elem, "") + data
        else:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]
