"""The documentation says what the code does: commands, options, targets, links, names and sizes in it exist."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("benchmarks/*.md"))]
LONGEST_LINE = 120
PACKAGES = ("worldmodel", "evaluation", "flows")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SHELL = ("sh", "bash", "console")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Contents of the page's fenced blocks in one of these languages."""
    yield from (body for language, body in FENCE.findall(page.read_text()) if language in languages)


def spans(page: Path) -> list[str]:
    """The page's inline code, with line breaks as blanks."""
    prose = FENCE.sub("", page.read_text())
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def shown_commands(page: Path, program: str) -> Iterator[list[str]]:
    """Arguments of every call of a program in shell blocks and inline code, comments and redirections left out."""
    lines = [line.removeprefix("$ ") for body in blocks(page, *SHELL) for line in body.splitlines()]
    for call in [part for line in [*lines, *spans(page)] for part in line.split(" && ")]:
        words = shlex.split(call, comments=True) if call.count("'") % 2 == 0 else call.split()
        if words and Path(words[0]).name == program:
            yield words[1 : words.index(">")] if ">" in words else words[1:]


def check_worldmodel(arguments: list[str]) -> None:
    """Lets the real command line parse a call, without running it."""
    import typer.main

    from flows.cli import app

    if arguments in ([], ["--help"]):
        return
    found, rest, said = typer.main.get_command(app), arguments, "worldmodel"
    while hasattr(found, "commands"):
        assert rest and rest[0] in found.commands, f"{said} {' '.join(rest[:1])}: no such command"
        found, said, rest = found.commands[rest[0]], f"{said} {rest[0]}", rest[1:]
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options, f"{said}: no such option"
    found.make_context(said, list(rest))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_worldmodel_command_parses(page: Path) -> None:
    for arguments in shown_commands(page, "worldmodel"):
        check_worldmodel(arguments)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in shown_commands(page, "make"):
        assert {word for word in words if "=" not in word} <= targets, f"make {' '.join(words)}"
        for variable, _, value in (word.partition("=") for word in words if "=" in word):
            if variable == "ARGS" and "run" in words:
                check_worldmodel(["run", *shlex.split(value)])


def test_the_commands_are_found_at_all() -> None:
    shown = [" ".join(["worldmodel", *arguments]) for arguments in shown_commands(README, "worldmodel")]
    assert {"worldmodel run", "worldmodel show latest --why", "worldmodel doctor"} <= set(shown)
    assert ["run"] in list(shown_commands(README, "make"))
    with pytest.raises(AssertionError, match="no such option"):
        check_worldmodel(["run", "--steps", "3"])
    check_worldmodel(["metrics", "fetch-weights", "--json"])
    with pytest.raises(AssertionError, match="worldmodel metrics fetch: no such command"):
        check_worldmodel(["metrics", "fetch"])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT) and file.exists(), f"{name(page)}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{name(page)}: no heading for {target}"


def anchors(page: Path) -> set[str]:
    """The fragments that headings of a page get."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_and_class_in_inline_code_exists(page: Path) -> None:
    for span in spans(page):
        if re.fullmatch(r"(worldmodel|evaluation|flows|tests|profiles|docs|requirements|benchmarks)/[\w./-]+", span):
            assert (ROOT / span).exists(), f"{name(page)}: {span}"
        if re.fullmatch(r"(worldmodel|evaluation|flows)(\.\w+)+\.[A-Z]\w+", span):
            module, _, thing = span.rpartition(".")
            source = (ROOT / module.replace(".", "/")).with_suffix(".py")
            assert source.is_file() and f"class {thing}(" in source.read_text(), f"{name(page)}: {span}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_block_parses_and_imports_what_exists(page: Path) -> None:
    for body in blocks(page, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES:
                source = (ROOT / str(node.module).replace(".", "/")).with_suffix(".py").read_text()
                for alias in node.names:
                    assert re.search(rf"^(def|class) {alias.name}\b", source, re.MULTILINE), f"{name(page)}: {body}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_line_is_too_long(page: Path) -> None:
    long = [line for line in page.read_text().splitlines() if len(line) > LONGEST_LINE]
    assert long == []


def test_every_stage_stands_in_the_diagram_of_the_readme() -> None:
    (diagram,) = blocks(README, "mermaid")
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]:
        assert re.search(rf"\b{stage}\b", diagram), stage


def test_every_section_of_the_params_is_described_in_the_readme() -> None:
    table = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    for section in yaml.safe_load((ROOT / "params.yaml").read_text()):
        assert any(f"`{section}`" in line.split("|")[1] for line in table), section


def test_every_profile_is_named_in_the_readme() -> None:
    for profile in sorted((ROOT / "profiles").glob("*.yaml")):
        assert f"(profiles/{profile.name})" in README.read_text(), profile.name


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = {README}, [README]
    while todo:
        page = todo.pop()
        links = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
        targets = {(page.parent / link).resolve() for link in links}
        new = {target for target in targets if target.suffix == ".md" and target.is_file()} - seen
        seen |= new
        todo += new
    assert set(PAGES) <= seen


def test_every_metric_and_manifest_column_is_described() -> None:
    from evaluation.metrics.catalogue import METRICS, VIDEO_METRICS
    from worldmodel.data.manifest import ClipRow

    assert {*METRICS, *VIDEO_METRICS} <= set(spans(ROOT / "docs/benchmarks.md"))
    assert set(ClipRow.__annotations__) <= set(spans(ROOT / "docs/data.md"))


def test_every_method_adapter_and_stage_is_described() -> None:
    from flows.pipeline import stage_names
    from worldmodel.data.sources import ADAPTERS
    from worldmodel.worldgen.config import RolloutConfig

    assert set(RolloutConfig().methods) <= set(spans(ROOT / "docs/benchmarks.md"))
    data = (ROOT / "docs/data.md").read_text()
    assert all(f"--data {name}" in data for name in ADAPTERS)
    rows = [line.split("|")[1] for line in README.read_text().splitlines() if line.startswith("| `")]
    assert set(stage_names(ROOT)) <= {cell.strip(" `") for cell in rows}


def test_the_schemas_and_the_bundle_are_those_of_the_code() -> None:
    from evaluation.decision import DECISION_SCHEMA
    from evaluation.report import REPORT_SCHEMA
    from flows.bundle import PARTS

    assert {REPORT_SCHEMA, DECISION_SCHEMA} <= set(spans(ROOT / "docs/benchmarks.md"))
    parts = {name for part in PARTS for name in (part.name, part.stage)}
    assert {"worldmodel.sha256.<part>", *parts} <= set(spans(ROOT / "docs/auditors.md"))


def test_every_yaml_block_of_a_gate_is_one_that_a_profile_may_have() -> None:
    from evaluation.gate_config import GateLimits

    (block,) = blocks(ROOT / "docs/benchmarks.md", "yaml")
    assert GateLimits.model_validate(yaml.safe_load(block)["gate"]).generation


@pytest.mark.parametrize("profile", ["debug", "tiny"])
def test_the_sizes_of_worldrec_follow_from_the_profile(profile: str) -> None:
    from flows.profile import profile_path, read_profile
    from worldmodel.data.protocol import context_frames

    params = read_profile(profile_path(ROOT, profile))
    prepare, model = params.prepare, params.train_worldrec.model
    frames = context_frames(prepare.synthetic.frames, prepare.context_stride)
    views = len(frames) * len(prepare.synthetic.cameras)
    evidence = views * (prepare.height // model.evidence_stride) * (prepare.width // model.evidence_stride)
    lattice = len(model.lattice)
    cells = (
        f"{prepare.height} x {prepare.width}",
        f"{views} ({prepare.synthetic.frames} frames: {', '.join(map(str, frames))})",
        f"{evidence:,} + {lattice}",
        f"{(evidence + lattice) * model.grid**2:,}",
    )
    (row,) = [r for r in (ROOT / "docs/worldrec.md").read_text().splitlines() if r.startswith(f"| [{profile}]")]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == list(cells)


@pytest.mark.parametrize("profile", ["debug", "tiny", "paper"])
def test_the_sizes_of_worldgen_follow_from_the_profile(profile: str) -> None:
    from flows.profile import profile_path, read_profile
    from worldmodel.worldgen.tokenizer_config import TEMPORAL_STRIDE

    params = read_profile(profile_path(ROOT, profile))
    samples, network = params.train_tokenizer, params.worldgen_bidirectional.model
    linear, wan = samples.linear, samples.wan.architecture
    sizes = {"linear": (linear.channels, linear.spatial_stride), "wan": (wan.z_dim, wan.spatial_stride)}
    channels, stride = sizes[samples.codec]
    height, width = params.prepare.height // stride, params.prepare.width // stride
    latent_frames = 1 + (samples.frames - 1) // TEMPORAL_STRIDE
    tokens = latent_frames * (height // network.patch) * (width // network.patch)
    cells = (
        f"{samples.frames} at {samples.rate_hz:g}",
        f"{latent_frames} of {channels} x {height} x {width}",
        f"{tokens:,}",
        f"{network.layers} of {network.width}",
    )
    (row,) = [r for r in (ROOT / "docs/worldgen.md").read_text().splitlines() if r.startswith(f"| [{profile}]")]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == list(cells)
