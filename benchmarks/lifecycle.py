"""Times the lifecycle in a fresh clone: the first run, a no-op second run with its parts, and what the model measures.

    python benchmarks/lifecycle.py                      tiny, as `make run` runs it
    python benchmarks/lifecycle.py --profile debug
    python benchmarks/lifecycle.py --data synthetic --data dgp:FOLDER --data multicam:FOLDER
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
VIDEO_METRICS = {
    "fvd-tok": "video/fvd-tok@i3d-k400",
    "kvd-tok": "video/kvd-tok@i3d-k400",
    "psnr": "video/psnr",
}


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
    """Seconds: in all, by stage, for imports, and for orchestration with its share of the whole."""
    parts = dict(record["overhead_s"])
    total = parts.pop("total")
    imports = {name: parts.pop(name) for name in list(parts) if name.startswith("imports")}
    return {
        "total": total,
        "stages": budgets(record["stages"], total),
        "process imports": sum(imports.values()),
        "orchestration": sum(parts.values()),
        "orchestration share": sum(parts.values()) / total,
        "orchestration parts": parts,
    }


def budgets(stages: dict[str, dict[str, Any]], total: float) -> dict[str, dict[str, float]]:
    """Of every stage that ran: seconds with and without DVC's part, and its own process's share of the whole."""
    ran = {name: facts for name, facts in stages.items() if facts["outcome"] == "ran"}
    return {
        name: {"seconds": facts["seconds"], "process": facts["process_s"], "share": facts["process_s"] / total}
        for name, facts in ran.items()
    }


def measures(report: dict[str, Any]) -> dict[str, Any]:
    """PSNR of the reconstruction and of what it is compared with, per group of clips."""
    found = {}
    for group in report["groups"]:
        metric = next(m for m in group["metrics"] if (m["id"], m["region"]) == ("image/psnr", "all"))
        kept = {key: metric[key] for key in ("value", "ci95", "baselines", "gap_closed", "n_clips", "n_images")}
        found[_name(group)] = {**kept, "depth/rmse": _depth(group)}
    return found


def generated(report: dict[str, Any]) -> dict[str, Any]:
    """What every method's videos score, with intervals and what they are compared with, per group of clips."""
    counts = ("n_clips", "n_logs", "n_reference_clips", "n_reference_logs", "no_distances")
    return {
        _name(group): {
            **{key: group[key] for key in counts},
            "methods": {method["name"]: _video_values(method) for method in group["methods"]},
        }
        for group in report["generation"]
    }


def _video_values(method: dict[str, Any]) -> dict[str, Any]:
    by_id = {metric["id"]: metric for metric in method["metrics"]}
    values: dict[str, Any] = {"steps": method["steps"]}
    for short, metric_id in VIDEO_METRICS.items():
        if metric_id in by_id:
            metric = by_id[metric_id]
            against = {
                other: {key: comparison[key] for key in ("difference", "ci95")}
                for other, comparison in metric["against"].items()
            }
            values[short] = {"value": metric["value"], "ci95": metric["ci95"], "against": against}
    return values


def _name(group: dict[str, Any]) -> str:
    return f"{group['source']}/{group['split']}" + (" (same log)" if group["same_log"] else "")


def _depth(group: dict[str, Any]) -> float | None:
    return next((m["value"] for m in group["metrics"] if (m["id"], m["region"]) == ("depth/rmse", "all")), None)


def report_of(clone: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The evaluation of a run of the clone."""
    return dict(json.loads((workspace(clone, record) / "artifacts" / "evaluate" / "report.json").read_text()))


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
        report = report_of(clone, first)
        result = {"status": first["status"], "first run, s": times(first)}
        result |= {"measured": measures(report), "generated": generated(report)}
        result["no-op run, s"] = times(worldmodel(clone, *run))
        if options.twice:
            other = fresh_clone(Path(folder) / "two")
            mine, theirs = outputs(clone, first), outputs(other, worldmodel(other, *run))
            result["two clones"] = {"outputs": mine, "equal": mine == theirs}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
