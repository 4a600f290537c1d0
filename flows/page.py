"""Writes a run's page, with the gate's reasons: `python -m flows.page RUN_FOLDER`, in the run's workspace.

The page that `evaluate` left knows nothing of the gate, whose decision depends on who is champion.
"""

import sys
from pathlib import Path

from evaluation.config import EvaluateConfig
from evaluation.page import write_page
from evaluation.records import read_decision, read_gate_inputs
from flows.driver import DECISION_FILE, INPUTS_FILE, PAGE_FILE
from flows.measured import find_measured
from flows.params import PARAMS_FILE, check, read_params


def write_run_page(workspace: Path, folder: Path) -> Path | None:
    """The page in a run's folder, or None where the gate had no report.

    Raises:
        DataError: a clip, render or video to be shown cannot be read.
    """
    inputs, decision = read_gate_inputs(folder / INPUTS_FILE), read_decision(folder / DECISION_FILE)
    if inputs.report is None:
        return None
    config = check(EvaluateConfig, read_params(workspace / PARAMS_FILE)["evaluate"], f"{PARAMS_FILE}, section evaluate")
    measured = find_measured(workspace)
    write_page(folder / PAGE_FILE, inputs.report, measured, config, decision, inputs.comparison)
    return folder / PAGE_FILE


if __name__ == "__main__":
    write_run_page(Path.cwd(), Path(sys.argv[1]))
