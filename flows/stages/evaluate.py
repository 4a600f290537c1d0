"""Stage `evaluate`: renders, generated videos and prepared clips in, report.json and pictures out; or a reason."""

import json
import os
from pathlib import Path

from evaluation.config import EvaluateConfig
from evaluation.generation.network import i3d
from evaluation.pictures import draw_pictures
from evaluation.records import write_record
from evaluation.report import ModelIdentity, NotApplicable, Report
from evaluation.suite import Generated, Measured, Watch, evaluate
from evaluation.training import HISTORY_FILE, History, read_history
from flows.bundle import bundle_digest, bundle_digests
from flows.stage import Stage, main, write_json

MODEL_NAME = "WorldModel"
NOT_APPLICABLE_FILE = "not_applicable.json"
# DMD is not among them: its loss is a normalised gradient, whose value says nothing
WORLDGEN_STAGES = (
    "train_tokenizer",
    "worldgen_bidirectional",
    "worldgen_teacher_forcing",
    "worldgen_ode_distillation",
)


def run(stage: Stage[EvaluateConfig]) -> None:
    """Measures what `reconstruct` rendered and what `rollout` generated against the prepared clips."""
    reasons = {name: _why_nothing(stage.input(name)) for name in ("reconstruct", "rollout")}
    for name, reason in reasons.items():
        if reason is not None:
            stage.say(f"nothing of {name} to measure: {reason}")
    if None not in reasons.values():
        both = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        write_json(stage.out / NOT_APPLICABLE_FILE, {"reason": both})
        return
    measured = _measured(stage, reasons)
    watch = Watch(_progress(stage, "clips"), _progress(stage, "videos"))
    report = evaluate(measured, stage.params, stage.seed, watch)
    write_record(stage.out / "report.json", report)
    draw_pictures(report, measured, stage.params, stage.out / "pictures")
    stage.say(report.summary)
    stage.log_metrics(0, **_values(report))


def _measured(stage: Stage[EvaluateConfig], reasons: dict[str, str | None]) -> Measured:
    artifacts = stage.root / "artifacts"
    state = Path(os.environ.get("WORLDMODEL_STATE") or stage.root / ".worldmodel")
    network = i3d(state / "features")
    return Measured(
        model=ModelIdentity(name=MODEL_NAME, sha256=bundle_digest(artifacts), parts=bundle_digests(artifacts)),
        prepare=stage.input("prepare"),
        reconstruct=None if reasons["reconstruct"] else stage.input("reconstruct"),
        generated=None if reasons["rollout"] else Generated(stage.input("rollout"), network),
        history=_history(stage, "train_worldrec"),
        generation_histories={name: found for name in WORLDGEN_STAGES if (found := _history(stage, name))},
        not_applicable=tuple(NotApplicable(what=n, reason=why, stage=n) for n, why in reasons.items() if why),
    )


def _why_nothing(output: Path) -> str | None:
    """The reason a stage gave for having no output; None where it has one."""
    path = output / NOT_APPLICABLE_FILE
    return str(json.loads(path.read_text())["reason"]) if path.is_file() else None


def _history(stage: Stage[EvaluateConfig], name: str) -> History | None:
    path = stage.input(name) / HISTORY_FILE
    return read_history(path) if path.is_file() else None


class _progress:
    """Stops between clips when told to, and says how far the stage is."""

    def __init__(self, stage: Stage[EvaluateConfig], unit: str) -> None:
        self.stage, self.unit = stage, unit

    def __call__(self, done: int, total: int) -> None:
        self.stage.check_stop()
        self.stage.progress(done, total, self.unit)


def _values(report: Report) -> dict[str, float]:
    """Every number of the report that a run is followed by."""
    found: dict[str, float | None] = {}
    for group in report.groups:
        name = f"{group.source}/{'same_log' if group.same_log else group.split}"
        found |= {f"{name}/{metric.id}": metric.value for metric in group.metrics if metric.region == "all"}
    for videos in report.generation:
        name = f"{videos.source}/{'same_log' if videos.same_log else videos.split}"
        for method in videos.methods:
            found |= {f"{name}/{method.name}/{_plain(metric.id)}": metric.value for metric in method.metrics}
    return {name: value for name, value in found.items() if value is not None}


def _plain(metric_id: str) -> str:
    """A metric's id in the letters that MLflow takes: no @."""
    return metric_id.partition("@")[0]


if __name__ == "__main__":
    main("evaluate", EvaluateConfig, run)
