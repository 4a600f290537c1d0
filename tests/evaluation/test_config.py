import subprocess
import sys

from evaluation.config import EvaluateConfig


def test_the_defaults_are_a_valid_evaluation():
    assert EvaluateConfig().bootstrap_resamples == 2000


def test_config_is_read_without_numpy():
    code = "import sys, evaluation.config, evaluation.gate_config; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
