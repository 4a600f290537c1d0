"""The storeys: who may import whom, read from the source of every module."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORM = {"mlflow", "prefect", "dvc", "great_expectations", "kubernetes"}
FORBIDDEN = {
    "worldmodel": PLATFORM | {"evaluation", "flows"},
    "evaluation": PLATFORM | {"flows", "lightning"},
    "flows/stages": {"prefect", "mlflow"},
}
LIGHT = {
    *(
        f"evaluation/{name}.py"
        for name in ("gate", "gate_config", "gate_evidence", "gate_rules", "decision", "evidence")
    ),
    *(f"evaluation/{name}.py" for name in ("comparison", "protocols", "report", "generation_report", "slice_value")),
}
HEAVY = ("torch", "prefect", "mlflow", "great_expectations", "lightning", "pandas", "matplotlib")


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Whole names of every module that a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return names


def test_nothing_looks_up() -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder, forbidden in FORBIDDEN.items()
        for path in modules(folder)
        for name in imported(path)
        if name.split(".")[0] in forbidden
    ]
    assert broken == []


def test_a_stage_imports_no_other_stage() -> None:
    for path in modules("flows/stages"):
        assert not [name for name in imported(path) if name.startswith("flows.stages")], path.name


def test_gate_and_report_need_only_the_standard_library_and_pydantic() -> None:
    allowed = set(sys.stdlib_module_names) | {"pydantic", "evaluation"}
    for file in LIGHT:
        names = {name for name in imported(ROOT / file) if not name.startswith("worldmodel.errors")}  # is light as well
        assert {name.split(".")[0] for name in names} <= allowed, file


def test_the_model_packages_meet_only_in_joint() -> None:
    for one, other in (("worldrec", "worldgen"), ("worldgen", "worldrec")):
        for path in modules(f"worldmodel/{one}"):
            assert not [name for name in imported(path) if name.startswith(f"worldmodel.{other}")], path


def test_evaluation_knows_data_geometry_and_errors_of_the_models_and_nothing_else() -> None:
    """Whoever wrote the videos, it measures them alike."""
    allowed = re.compile(r"worldmodel\.(data|geometry|errors)(\.|$)")
    for path in modules("evaluation"):
        found = [name for name in imported(path) if name.split(".")[0] == "worldmodel"]
        assert [name for name in found if not allowed.match(name)] == [], path


@pytest.mark.parametrize("module", ["flows.cli", "flows.profile", "flows.stage", "evaluation.gate"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_files_and_functions_stay_short() -> None:
    for folder in ("worldmodel", "evaluation", "flows"):
        for path in modules(folder):
            text = path.read_text()
            assert text.count("\n") <= 600, f"{path.relative_to(ROOT)} is past 600 lines"
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    assert length <= 80, f"{path.relative_to(ROOT)}: {node.name} has {length} lines"
