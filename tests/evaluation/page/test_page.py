import base64
import hashlib
import re
from dataclasses import replace

import pytest

from evaluation.comparison import Comparison
from evaluation.decision import Decision, Rule
from evaluation.page import write_page
from evaluation.page.sections import LARGEST_VIDEOS_BYTES
from tests.evaluation.page.conftest import CLIPS, CONFIG, Read, evaluate_clips

EVIL = """</script></style><img src=x onerror=alert(1)>"'&"""


def decision(verdict="refuse", **fields):
    inputs = {"evidence": None, "limits": None, "report_sha256": None, "champion_report_sha256": None}
    rules = [
        {"id": "absolute/psnr", "limit": 20.0, "observed": 18.0, "verdict": "fail", "sentence": "18 is below 20"},
        {"id": "code/clean", "verdict": "pass", "sentence": "the code is committed"},
    ]
    given = {"verdict": verdict, "summary": "Refused: 1 rule.", "comparison_sha256": None, "rules": rules}
    return Decision.model_validate(inputs | given | fields)


def write(evaluated, path, **given):
    write_page(path, given.pop("report", evaluated.report), evaluated.measured, CONFIG, **given)
    return path


@pytest.fixture(scope="module")
def path(evaluated, tmp_path_factory):
    return write(evaluated, tmp_path_factory.mktemp("pages") / "report.html", decision=decision())


@pytest.fixture(scope="module")
def read(path):
    return Read.of(path)


def test_a_page_loads_nothing_and_is_small(path, read):
    links = [value for _, attributes in read.elements for name in ("src", "href") if (value := attributes.get(name))]
    assert links and all(link.startswith(("data:video/mp4;base64,", "#")) for link in links)
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in read.elements}
    assert "url(" not in read.code["style"] and "@import" not in read.code["style"]
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b *\(", read.code["script"])
    assert path.stat().st_size < 1.4 * LARGEST_VIDEOS_BYTES


def test_its_policy_lets_nothing_run_but_its_own_script_and_style(read):
    (policy,) = [meta["content"] for meta in read.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    assert allowed["default-src"] == "'none'"
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(read.code[kind].encode()).digest()).decode()
        assert allowed[f"{kind}-src"] == f"'sha256-{digest}'"
    inline = [name for _, attributes in read.elements for name in attributes if name == "style" or name[:2] == "on"]
    assert inline == []


def test_the_same_inputs_give_the_same_bytes_from_any_directory(path, tmp_path, write_measured):
    again = evaluate_clips(write_measured(tmp_path / "elsewhere", *CLIPS))
    assert write(again, tmp_path / "again.html", decision=decision()).read_bytes() == path.read_bytes()


def test_every_text_of_the_data_is_escaped(evaluated, tmp_path):
    report = evaluated.report
    groups = tuple(group.model_copy(update={"sentence": EVIL}) for group in report.groups)
    clips = tuple(clip.model_copy(update={"slices": {EVIL: EVIL}}) for clip in report.clips)
    model = report.model.model_copy(update={"name": EVIL, "parts": {EVIL: EVIL}})
    poisoned = report.model_copy(update={"model": model, "groups": groups, "clips": clips})
    rules = (Rule(id=EVIL, verdict="fail", sentence=EVIL),)
    compared = Comparison(
        challenger_report_sha256="a", champion_report_sha256="b", differences=(), left_out={EVIL: EVIL}
    )
    judged = decision(summary=EVIL, rules=rules)
    page = Read.of(write(evaluated, tmp_path / "evil.html", report=poisoned, decision=judged, comparison=compared))
    assert len(page.named("script")) == 1 and not page.named("img")
    assert page.text.count(EVIL) >= 10
    assert not [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]


def test_the_verdict_comes_first_and_then_the_rules_against_it(read):
    assert read.text.index("Refused: 1 rule.") < read.text.index("18 is below 20")
    assert read.text.index("18 is below 20") < read.text.index("1 of 2 rules pass") < read.text.index("is committed")
    assert [found["class"] for found in read.of_class("badge")] == ["badge bad"]


def test_without_a_decision_the_page_says_so(evaluated, tmp_path):
    text = Read.of(write(evaluated, tmp_path / "report.html")).text
    assert "The gate has not judged this report." in text and "Why the gate decided so" not in text


def test_every_group_has_its_section_and_each_source_its_clips_once(evaluated, read):
    report = evaluated.report
    assert read.text.count("Reconstruction: synthetic") == 2 * len(report.groups) == 4
    assert read.text.count("Generation: synthetic") == 2 * len(report.generation) == 2
    assert len(read.of_class("player")) == 2 * CONFIG.overview_samples
    for metric in report.groups[0].metrics:
        assert metric.id in read.text


def test_the_footer_names_model_data_protocol_networks_and_licences(evaluated, read):
    report = evaluated.report
    footer = read.text[read.text.index("What this is a report of") :]
    said = [report.model.sha256, report.data.sha256, report.protocol_fingerprint, report.protocol.preset.fingerprint]
    said += [extractor.tensor_fingerprint for extractor in report.protocol.extractors]
    assert len(said) == 4 + 3 and all(one in footer for one in said)
    assert "licence of synthetic" in footer and "CC0-1.0" in footer


def test_a_page_is_written_where_nothing_can_be_shown(evaluated, tmp_path):
    """Without renders and videos there are numbers alone."""
    measured = replace(evaluated.measured, reconstruct=None, rollout=None)
    write_page(tmp_path / "bare.html", evaluated.report, measured, CONFIG)
    page = Read.of(tmp_path / "bare.html")
    assert not page.of_class("player") and "image/psnr" in page.text
    write_page(
        tmp_path / "empty.html", evaluated.report.model_copy(update={"groups": (), "generation": ()}), measured, CONFIG
    )
    assert "What this is a report of" in Read.of(tmp_path / "empty.html").text
