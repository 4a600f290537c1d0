"""The `validate` stage: Great Expectations suites decide whether the prepared clips may be trained on.

Writes `verdict.json`, on which every training stage depends. Unfit data leave no output at all: the verdict and the
Data Docs are then found in `run/validate/`, and the stage fails.
"""

from flows.checks.config import ValidateConfig
from flows.checks.docs import write_docs
from flows.checks.run import check_data
from flows.checks.verdict import describe_failures
from flows.stage import Stage, main, write_json
from worldmodel.data.shards import ClipStore
from worldmodel.errors import UnfitDataError

VERDICT_FILE = "verdict.json"


def run(stage: Stage[ValidateConfig]) -> None:
    """Judges `artifacts/prepare`.

    Raises:
        UnfitDataError: an expectation was not met or could not be evaluated; names each, its column and clips.
    """
    store = ClipStore(stage.input("prepare"))

    def progress(done: int, total: int) -> None:
        stage.check_stop()
        stage.progress(done, total, "clips")

    verdict, results = check_data(store, stage.params, stage.seed, progress)
    write_json(stage.run_dir / VERDICT_FILE, verdict)
    page = write_docs(stage.run_dir / "data_docs", verdict, results)
    failures = describe_failures(verdict)
    if failures or not verdict["success"]:
        raise UnfitDataError(
            "the data are unfit for training",
            expected="every expectation met",
            got="\n    ".join(failures),
            fix=f"look at {page}; mend or leave out these clips, or change the `validate` section of params.yaml",
        )
    write_json(stage.out / VERDICT_FILE, verdict)
    stage.log_metrics(0, **_counts(verdict))
    stage.say(f"fit: {_counts(verdict)}; Data Docs at {page}")


def _counts(verdict: dict[str, object]) -> dict[str, float]:
    suites = verdict["suites"]
    assert isinstance(suites, list)
    rules = sum(len(suite["expectations"]) for suite in suites)
    sampled, skipped = verdict["sampled"], verdict["skipped"]
    assert isinstance(sampled, list) and isinstance(skipped, list)
    return {"expectations": rules, "clips_sampled": len(sampled), "columns_skipped": len(skipped)}


if __name__ == "__main__":
    main("validate", ValidateConfig, run)
