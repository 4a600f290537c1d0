"""What `evaluate` measures, found in a workspace: the model, its data, and the outputs of the stages before it."""

import json
from pathlib import Path

from evaluation.extractors.networks import Networks
from evaluation.report import ModelIdentity, NotApplicable
from evaluation.suite import Measured
from evaluation.training import HISTORY_FILE, History, read_history
from flows.bundle import bundle_digest, bundle_digests
from flows.manifest import MANIFEST_FILE
from flows.stage import NOT_APPLICABLE_FILE
from worldmodel.errors import DataError

MODEL_NAME = "WorldModel"
# DMD is not among them: its loss is a normalised gradient, whose value says nothing
WORLDGEN_STAGES = (
    "train_tokenizer",
    "worldgen_bidirectional",
    "worldgen_teacher_forcing",
    "worldgen_ode_distillation",
)


def find_measured(root: Path, networks: Networks | None = None) -> Measured:
    """Everything that there is to measure in a workspace; what a stage left a reason for is None.

    Args:
        root: the workspace.
        networks: that learned metrics are taken with.

    Raises:
        DataError: a stage before `evaluate` has not finished.
    """
    artifacts = root / "artifacts"
    reasons = {name: _why_nothing(_output(artifacts, name)) for name in ("reconstruct", "rollout")}
    return Measured(
        model=ModelIdentity(name=MODEL_NAME, sha256=bundle_digest(artifacts), parts=bundle_digests(artifacts)),
        prepare=_output(artifacts, "prepare"),
        reconstruct=None if reasons["reconstruct"] else _output(artifacts, "reconstruct"),
        rollout=None if reasons["rollout"] else _output(artifacts, "rollout"),
        networks=networks,
        history=_history(artifacts, "train_worldrec"),
        generation_histories={name: found for name in WORLDGEN_STAGES if (found := _history(artifacts, name))},
        not_applicable=tuple(NotApplicable(what=n, reason=why, stage=n) for n, why in reasons.items() if why),
    )


def _output(artifacts: Path, stage: str) -> Path:
    if not (artifacts / stage / MANIFEST_FILE).is_file():
        raise DataError(f"{artifacts / stage}: no finished output of {stage}", fix=f"worldmodel run --until {stage}")
    return artifacts / stage


def _why_nothing(output: Path) -> str | None:
    """The reason a stage gave for having no output; None where it has one."""
    path = output / NOT_APPLICABLE_FILE
    return str(json.loads(path.read_text())["reason"]) if path.is_file() else None


def _history(artifacts: Path, name: str) -> History | None:
    path = _output(artifacts, name) / HISTORY_FILE
    return read_history(path) if path.is_file() else None
