"""Data Docs: what was expected and what was found, as pages that open offline.

Great Expectations' own site links Bootstrap, jQuery and its logo from the network and is unreadable without them, and
it leaves unexpected values unescaped. So its renderer makes the content, and this module the page around it, which
forbids scripts and loading: one page for each suite and an index with the verdict. The pages hold times; they belong in
a run directory, never in an output.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from flows.checks.run import SuiteResult
from flows.checks.verdict import Verdict, describe_failures

_DEAD_LINK = re.compile(r'<a href="\.\./[^"]*"[^>]*>(.*?)</a>', re.DOTALL)  # to pages of the site not made here
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #cf222e }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.5rem; margin: .2rem 0 1rem } h2 { font-size: 1.15rem; margin: 1.8rem 0 .5rem }
h5, .alert { margin: 1.2rem 0 .4rem; font-size: 1.05rem }
h6, .h6 { font-size: .9rem; margin: .5rem 0; font-weight: 600 }
table { border-collapse: collapse; width: 100% } table table { width: auto; margin: .4rem 0 }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line) }
th { background: var(--soft); font-weight: 600 } td { overflow-wrap: anywhere }
code, pre, .badge { font: .88em ui-monospace, monospace; background: var(--soft); padding: .05rem .3rem }
.good, .text-success { color: var(--good) } .bad, .text-danger, .text-warning { color: var(--bad) }
.fas { font-style: normal; font-weight: 700 } .fa-check-circle::before { content: "✓" }
.fa-times::before { content: "✗" } .fa-exclamation-triangle::before { content: "!" }
.table-cell-spacer, [hidden] { display: none } .number { text-align: right; font-variant-numeric: tabular-nums }
"""

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title><style>{{ style | safe }}</style></head><body>
"""

_SUITE_PAGE = """{% include 'head.html' %}
<a href="index.html">← verdict</a><h1>Suite <code>{{ title }}</code></h1>
{% for section in sections %}{% set section_loop = loop %}{% include 'section.j2' %}{% endfor %}
</body></html>
"""

_INDEX_PAGE = """{% include 'head.html' %}
<h1>The data are {% if verdict.success %}<span class="good">fit ✓</span>{% else %}<span class="bad">unfit ✗</span>
{% endif %}</h1>
<p>{{ verdict.n_clips }} clips in the manifest; {{ verdict.sampled | length }} of them decoded and measured
(seed {{ verdict.seed }}).</p>
{% if failures %}<ul>{% for failure in failures %}<li class="bad">{{ failure }}</li>{% endfor %}</ul>{% endif %}
{% for suite in verdict.suites %}
<h2>{% if suite.name in pages %}<a href="{{ suite.name }}.html">{{ suite.name }}</a>{% else %}{{ suite.name }}
{%- endif %}</h2>
<table><tr><th></th><th>Expectation</th><th>Column</th><th>Limits</th><th>Found</th><th>Checked</th><th>Unexpected</th>
</tr>
{% for e in suite.expectations %}<tr>
<td>{% if not e.success %}<span class="bad">✗</span>{% elif e.not_applicable %}–{% else %}<span class="good">✓</span>
{% endif %}</td>
<td>{{ e.check }}</td><td><code>{{ e.column }}</code></td>
<td>{% for name, value in e.kwargs.items() if not name.startswith('column') %}{{ name }} {{ value }}<br>
{%- endfor %}</td>
<td>{% if 'min' in e.observed %}{{ e.observed.min }} … {{ e.observed.max }}{% endif %}</td>
<td class="number">{{ e.observed.checked }}</td>
<td>{% if e.unexpected_count %}{{ e.unexpected_count }}: {{ e.clips | join(', ') }}{% endif %}
{{- e.exception or '' }}</td></tr>
{% endfor %}</table>{% endfor %}
{% if skipped %}<h2>Left out</h2><table><tr><th>Columns</th><th>Reason</th><th>Clips</th></tr>
{% for (columns, reason), n in skipped.items() %}<tr><td><code>{{ columns }}</code></td><td>{{ reason }}</td>
<td class="number">{{ n }}</td></tr>{% endfor %}</table>{% endif %}
</body></html>
"""


def write_docs(directory: Path, verdict: Verdict, results: tuple[SuiteResult, ...]) -> Path:
    """Writes `index.html` and a page for each suite that was evaluated; returns the index."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, DictLoader

    directory.mkdir(parents=True, exist_ok=True)
    view: Any = DefaultJinjaPageView()
    pages = DictLoader({"head.html": _HEAD, "suite.html": _SUITE_PAGE, "index.html": _INDEX_PAGE})
    view.env.loader = ChoiceLoader([pages, view.env.loader])
    rendered = [result for result in results if result.outcome is not None]
    for result in rendered:
        document = ValidationResultsPageRenderer(run_info_at_end=True).render(result.outcome)
        html = view.render(document, template="suite.html", title=result.suite.name, style=_STYLE)
        html = _DEAD_LINK.sub(r"\1", html)
        (directory / f"{result.suite.name}.html").write_text(html, encoding="utf-8")
    skipped = Counter((", ".join(skip["columns"]), skip["reason"]) for skip in verdict["skipped"])
    index: dict[str, Any] = {"verdict": verdict, "pages": {r.suite.name for r in rendered}, "skipped": skipped}
    html = view.env.get_template("index.html").render(
        **index, failures=describe_failures(verdict), title="Data verdict", style=_STYLE
    )
    (directory / "index.html").write_text(html, encoding="utf-8")
    return directory / "index.html"
