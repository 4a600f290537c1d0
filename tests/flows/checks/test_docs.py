import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flows.checks.config import ValidateConfig
from flows.checks.docs import write_docs
from flows.checks.run import check_data
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore

Prepare = Callable[..., Path]


@pytest.fixture(scope="module")
def page(prepare: Prepare, clips: list[Clip], config: ValidateConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = prepare([replace(clips[0], tags={}, boxes=None), *clips[1:]], clip_02={"licence": "a <b>bold</b> licence"})
    verdict, results = check_data(ClipStore(root), config, 0, lambda done, total: None)
    return write_docs(tmp_path_factory.mktemp("docs"), json.loads(json.dumps(verdict)), results)


def test_the_index_names_the_verdict_each_failure_and_what_was_left_out(page: Path) -> None:
    html = page.read_text()
    assert "unfit" in html
    assert "licence allowed" in html
    assert "clip-02" in html
    assert "the clip has no boxes" in html


def test_every_page_opens_offline_and_every_link_leads_somewhere(page: Path) -> None:
    pages = sorted(page.parent.glob("*.html"))
    assert [path.stem for path in pages] == ["clips", "index", "manifest", "splits"]
    for path in pages:
        html = path.read_text()
        assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
        assert "<script" not in html and "@import" not in html
        for target in re.findall(r'<a href="([^"#]+\.html)"', html):
            assert (path.parent / target).is_file(), (path, target)


def test_text_from_the_data_is_escaped_or_at_least_cannot_run_or_load_anything(page: Path) -> None:
    """Great Expectations does not escape unexpected values, so the pages forbid scripts and loading altogether."""
    assert "<b>bold</b>" not in page.read_text()
    for path in page.parent.glob("*.html"):
        html = path.read_text()
        policy = html.index("default-src 'none'; style-src 'unsafe-inline'")
        assert policy < html.index("<style>")
