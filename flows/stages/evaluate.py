"""Stage `evaluate`: renders and prepared clips in, report.json and pictures out; or not_applicable.json."""

import shutil

from evaluation.config import EvaluateConfig
from evaluation.pictures import draw_pictures
from evaluation.records import write_record
from evaluation.suite import Measured, evaluate
from evaluation.training import HISTORY_FILE, read_history
from flows.stage import Stage, main

MODEL_NAME = "WorldRec"
NOT_APPLICABLE_FILE = "not_applicable.json"


def run(stage: Stage[EvaluateConfig]) -> None:
    """Measures what `reconstruct` rendered against the prepared clips."""
    nothing = stage.input("reconstruct") / NOT_APPLICABLE_FILE
    if nothing.is_file():
        stage.say(f"nothing to measure: {nothing.read_text().strip()}")
        shutil.copyfile(nothing, stage.out / NOT_APPLICABLE_FILE)
        return
    measured = Measured(
        model_name=MODEL_NAME,
        prepare=stage.input("prepare"),
        reconstruct=stage.input("reconstruct"),
        history=read_history(stage.input("train_worldrec") / HISTORY_FILE),
    )

    def progress(done: int, total: int) -> None:
        stage.check_stop()
        stage.progress(done, total, "clips")

    report = evaluate(measured, stage.params.bootstrap_resamples, stage.seed, progress)
    write_record(stage.out / "report.json", report)
    draw_pictures(report, measured, stage.params, stage.out / "pictures")
    stage.say(report.summary)
    for group in report.groups:
        name = f"{group.source}/{'same_log' if group.same_log else group.split}"
        values = {f"{name}/{metric.id}": metric.value for metric in group.metrics if metric.region == "all"}
        stage.log_metrics(0, **{name: value for name, value in values.items() if value is not None})


if __name__ == "__main__":
    main("evaluate", EvaluateConfig, run)
