"""Times the lifecycle in a fresh clone: the first run, a no-op second run with its parts, and what the model measures.

    python benchmarks/lifecycle.py                      tiny, as `make run` runs it
    python benchmarks/lifecycle.py --profile debug
    python benchmarks/lifecycle.py --data synthetic --data dgp:FOLDER
    python benchmarks/lifecycle.py --twice              two fresh clones, and whether their dvc.lock agree

The clone is made of HEAD in a temporary folder and uses this interpreter; nothing else should run meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def worldmodel(clone: Path, *arguments: str) -> Any:
    """The JSON document of a command run in the clone, with the clone's code and no server configured."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "WORLDMODEL"))}
    command = [sys.executable, "-m", "flows.cli", *arguments, "--json"]
    result = subprocess.run(command, cwd=clone, env=inherited, stdout=subprocess.PIPE, text=True)
    if result.returncode not in (0, 3):
        raise SystemExit(f"worldmodel {' '.join(arguments)} ended with {result.returncode}\n{result.stdout}")
    return json.loads(result.stdout)


def fresh_clone(folder: Path) -> Path:
    """A clone of HEAD."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def times(record: dict[str, Any]) -> dict[str, Any]:
    """Seconds: in all, per stage, for imports, and for orchestration with its share of the whole."""
    parts = dict(record["overhead_s"])
    total = parts.pop("total")
    imports = {name: parts.pop(name) for name in list(parts) if name.startswith("imports")}
    return {
        "total": total,
        "stages": {name: facts["seconds"] for name, facts in record["stages"].items() if facts["outcome"] == "ran"},
        "process imports": sum(imports.values()),
        "orchestration": sum(parts.values()),
        "orchestration share": sum(parts.values()) / total,
        "orchestration parts": parts,
    }


def measures(clone: Path, record: dict[str, Any]) -> dict[str, Any]:
    """PSNR of the model and of what it is compared with, per group of clips."""
    report = json.loads((workspace(clone, record) / "artifacts" / "evaluate" / "report.json").read_text())
    found = {}
    for group in report["groups"]:
        metric = next(m for m in group["metrics"] if (m["id"], m["region"]) == ("image/psnr", "all"))
        name = f"{group['source']}/{group['split']}" + (" (same log)" if group["same_log"] else "")
        kept = {key: metric[key] for key in ("value", "ci95", "baselines", "gap_closed", "n_clips", "n_images")}
        found[name] = {**kept, "depth/rmse": _depth(group)}
    return found


def _depth(group: dict[str, Any]) -> float | None:
    return next((m["value"] for m in group["metrics"] if (m["id"], m["region"]) == ("depth/rmse", "all")), None)


def workspace(clone: Path, record: dict[str, Any]) -> Path:
    """Where a run of the clone worked."""
    return clone / ".worldmodel" / "workspaces" / str(record["key"])


def outputs(clone: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The hash of every stage's output."""
    lock = yaml.safe_load((workspace(clone, record) / "dvc.lock").read_text())
    return {name: entry["outs"][0]["md5"] for name, entry in lock["stages"].items()}


def main() -> None:
    """Prints what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--twice", action="store_true")
    options = parser.parse_args()
    run = ["run", "--profile", options.profile, *(word for spec in options.data for word in ("--data", spec))]
    with tempfile.TemporaryDirectory() as folder:
        clone = fresh_clone(Path(folder) / "one")
        first = worldmodel(clone, *run)
        result = {"status": first["status"], "first run, s": times(first), "measured": measures(clone, first)}
        result["no-op run, s"] = times(worldmodel(clone, *run))
        if options.twice:
            other = fresh_clone(Path(folder) / "two")
            mine, theirs = outputs(clone, first), outputs(other, worldmodel(other, *run))
            result["two clones"] = {"outputs": mine, "equal": mine == theirs}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
