"""One self-contained HTML page of an evaluation: it loads nothing, and the same inputs give the same bytes."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.comparison import Comparison
from evaluation.config import EvaluateConfig
from evaluation.decision import Decision
from evaluation.report import Report

if TYPE_CHECKING:
    from evaluation.suite import Measured

PAGE_FILE = "report.html"
_TEMPLATES = Path(__file__).parent / "templates"


def write_page(
    out: Path,
    report: Report,
    measured: "Measured",
    config: EvaluateConfig,
    decision: Decision | None = None,
    comparison: Comparison | None = None,
) -> None:
    """Writes the page to the file `out`, aside first.

    Args:
        out: the page, by custom named `PAGE_FILE`.
        report: what was found.
        measured: where the clips, renders and videos to be shown are; its networks are not used.
        config: `overview_samples` clips of each source are shown.
        decision: the gate's; None where it has not judged yet.
        comparison: with the champion; None where there is none.

    Raises:
        DataError: a clip, render or video to be shown cannot be read.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from evaluation.page.sections import make_page
    from worldmodel.data.atomic import atomic_file

    style, script = (_TEMPLATES / "page.css").read_text("utf-8"), (_TEMPLATES / "page.js").read_text("utf-8")
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = make_page(report, measured, config, decision, comparison)
    text = environment.get_template("page.html").render(
        page=page, style=style, script=script, policy=_policy(style, script)
    )
    with atomic_file(out) as file:
        file.write(text.encode())


def _policy(style: str, script: str) -> str:
    """Content security policy: nothing from anywhere but what is in the page, and no script or style but its own."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "media-src data: blob:",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
