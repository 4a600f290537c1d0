"""Stage `evaluate`: renders, generated videos and prepared clips in; report, features, pictures and page out."""

import os
from pathlib import Path

from evaluation.config import EvaluateConfig
from evaluation.extractors.networks import WeightedNetworks
from evaluation.generation.features import write_features
from evaluation.page import PAGE_FILE, write_page
from evaluation.pictures import draw_pictures
from evaluation.records import write_record
from evaluation.report import Report
from evaluation.suite import Watch, measure
from flows.measured import find_measured
from flows.stage import NOT_APPLICABLE_FILE, Stage, main, write_json


def run(stage: Stage[EvaluateConfig]) -> None:
    """Measures what `reconstruct` rendered and what `rollout` generated against the prepared clips.

    Writes report.json, features/<source>-<split>.safetensors where distances were measured, pictures/ and report.html;
    or not_applicable.json.
    """
    state = Path(os.environ.get("WORLDMODEL_STATE") or stage.root / ".worldmodel")
    measured = find_measured(stage.root, WeightedNetworks(state / "features"))
    for entry in measured.not_applicable:
        stage.say(f"nothing of {entry.what} to measure: {entry.reason}")
    if measured.reconstruct is None and measured.rollout is None:
        both = "; ".join(f"{entry.what}: {entry.reason}" for entry in measured.not_applicable)
        write_json(stage.out / NOT_APPLICABLE_FILE, {"reason": both})
        return
    watch = Watch(_progress(stage, "clips"), _progress(stage, "videos"))
    evaluation = measure(measured, stage.params, stage.seed, watch)
    report = evaluation.report
    write_record(stage.out / "report.json", report)
    write_features(stage.out / "features", evaluation.features)
    draw_pictures(report, measured, stage.params, stage.out / "pictures")
    write_page(stage.out / PAGE_FILE, report, measured, stage.params)
    stage.say(report.summary)
    stage.log_metrics(0, **_values(report))


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
        found |= {f"{name}/{_plain(metric.id)}": metric.value for metric in group.metrics if metric.region == "all"}
    for videos in report.generation:
        name = f"{videos.source}/{'same_log' if videos.same_log else videos.split}"
        for method in videos.methods:
            found |= {f"{name}/{method.name}/{_plain(metric.id)}": metric.value for metric in method.metrics}
    return {name: value for name, value in found.items() if value is not None}


def _plain(metric_id: str) -> str:
    """A metric's id in the letters that MLflow takes: no @."""
    return metric_id.replace("@", "/")


if __name__ == "__main__":
    main("evaluate", EvaluateConfig, run)
