"""Runs the suites with Great Expectations and turns the results into a verdict. It fails closed.

The data are fit only if every expectation of every suite was evaluated, without an exception, and says `true`. The
verdict holds what the inputs determine and nothing else; times and pages are Data Docs, see `flows.checks.docs`.
Great Expectations takes seconds to import, so this happens here, once, after the columns were measured.
"""

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from flows.checks.config import ValidateConfig
from flows.checks.suites import SUITE_VERSION, Expectation, Suite, build_suites
from flows.checks.tables import clip_table, manifest_table, sample_clips, split_table
from flows.checks.verdict import VERDICT_SCHEMA, Verdict
from worldmodel.data.shards import ClipStore
from worldmodel.errors import MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True)
class SuiteResult:
    """What Great Expectations said of one suite; `outcome` is its own object (for Data Docs), None after an error."""

    suite: Suite
    expectations: tuple[dict[str, Any], ...]
    error: str | None
    outcome: Any

    @property
    def success(self) -> bool:
        """Every expectation was evaluated and met."""
        complete = len(self.expectations) == len(self.suite.expectations)
        return self.error is None and complete and all(result["success"] is True for result in self.expectations)


def check_data(
    store: ClipStore, config: ValidateConfig, seed: int, progress: Callable[[int, int], None]
) -> tuple[Verdict, tuple[SuiteResult, ...]]:
    """Judges the clips of a finished prepare stage.

    Args:
        progress: called with (done, total) after each decoded clip.

    Returns:
        The verdict, and the results of each suite for Data Docs.
    """
    manifest = store.manifest
    clip_ids = sample_clips(manifest, config.clips_per_stratum, seed)
    clips = clip_table(store, clip_ids, progress)
    tables = {"manifest": manifest_table(manifest), "splits": split_table(manifest, config), "clips": clips.frame}
    results = run_suites(build_suites(config), tables, config.shown_clips)
    skipped = [asdict(skip) | {"columns": list(skip.columns)} for skip in clips.skipped]
    verdict = {
        "schema_version": VERDICT_SCHEMA,
        "success": bool(results) and all(result.success for result in results),
        "suite_version": SUITE_VERSION,
        "seed": seed,
        "n_clips": len(manifest),
        "sampled": clip_ids,
        "suites": [_suite_verdict(result) for result in results],
        "errors": {result.suite.name: result.error for result in results if result.error is not None},
        "skipped": skipped,
    }
    return verdict, results


def run_suites(suites: tuple[Suite, ...], tables: Mapping[str, "pd.DataFrame"], shown: int) -> tuple[SuiteResult, ...]:
    """Each suite on the table of its name. An exception inside Great Expectations becomes the suite's `error`."""
    gx = _import_great_expectations()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return tuple(_run_suite(context, suite, tables[suite.name], shown) for suite in suites)


def _import_great_expectations() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when it is imported
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations in its own dependencies
            import great_expectations
            import great_expectations.expectations
    except ImportError as error:
        raise MissingDependencyError(
            "great_expectations cannot be imported", got=str(error), fix="pip install 'worldmodel[validate]'"
        ) from error
    return great_expectations


def _run_suite(context: Any, suite: Suite, table: "pd.DataFrame", shown: int) -> SuiteResult:
    import great_expectations as gx

    try:
        source = context.data_sources.add_pandas(suite.name)
        definition = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe("all")
        rules = [_to_gx(number, expectation) for number, expectation in enumerate(suite.expectations)]
        outcome = definition.get_batch(batch_parameters={"dataframe": table}).validate(
            gx.ExpectationSuite(name=suite.name, expectations=rules),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [suite.index]},
        )
        found = {result.expectation_config.meta["number"]: result.to_json_dict() for result in outcome.results}
        expectations = tuple(
            _judge(expectation, found[number], suite.index, table, shown)
            for number, expectation in enumerate(suite.expectations)
            if number in found
        )
    except Exception as error:  # whatever goes wrong inside: the data were not shown to be fit
        return SuiteResult(suite, (), f"{type(error).__name__}: {error}", None)
    missing = len(rules) - len(expectations)
    problem = f"{missing} of {len(rules)} expectations were not evaluated" if missing else None
    return SuiteResult(suite, expectations, problem, outcome)


def _to_gx(number: int, expectation: Expectation) -> Any:
    import great_expectations.expectations as gxe

    name = "".join(part.capitalize() for part in expectation.type.split("_"))
    return getattr(gxe, name)(**expectation.kwargs, meta={"number": number}, notes=expectation.check)


def _judge(
    expectation: Expectation, found: dict[str, Any], index: str, table: "pd.DataFrame", shown: int
) -> dict[str, Any]:
    """One expectation's part of the verdict, from Great Expectations' result as plain JSON."""
    result, exception = found["result"], _exception(found)
    rows = result.get("unexpected_index_list") or []
    checked = int(result.get("element_count", len(table))) - int(result.get("missing_count") or 0)
    return {
        "check": expectation.check,
        "type": expectation.type,
        "column": expectation.column,
        "kwargs": {name: _plain(value) for name, value in expectation.kwargs.items()},
        "success": exception is None and found["success"] is True,
        "not_applicable": checked == 0 and len(table) > 0,
        "observed": {"checked": checked, **_range(table, expectation.kwargs.get("column"))},
        "unexpected_count": int(result.get("unexpected_count") or 0),
        "clips": [str(row[index]) for row in rows[:shown]],
        "values": [_plain(value) for value in (result.get("unexpected_list") or [])[:shown]],
        "exception": exception,
    }


def _exception(found: dict[str, Any]) -> str | None:
    info = found.get("exception_info") or {}
    parts = [info] if "raised_exception" in info else list(info.values())
    messages = [str(part.get("exception_message")) for part in parts if part.get("raised_exception")]
    return messages[0] if messages else None


def _range(table: "pd.DataFrame", column: str | None) -> dict[str, Any]:
    import pandas as pd

    if column not in table.columns or table[column].dtype == bool or not pd.api.types.is_numeric_dtype(table[column]):
        return {}
    values = table[column].dropna()
    return {} if values.empty else {"min": _plain(values.min()), "max": _plain(values.max())}


def _plain(value: Any) -> Any:
    """A value that JSON can hold, the same on every run: numbers to six significant digits."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str | bool) or value is None:
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else repr(value)
    return value if isinstance(value, int) else str(value)


def _suite_verdict(result: SuiteResult) -> dict[str, Any]:
    suite = {"name": result.suite.name, "fingerprint": result.suite.fingerprint, "success": result.success}
    return {**suite, "expectations": list(result.expectations)}
