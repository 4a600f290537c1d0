"""What the gate is given and what it decides, as files: reports and evidence in, every rule with its numbers out.

Versioned; readers refuse any other version. Standard library and pydantic only.
"""

from typing import Literal, Self

from pydantic import model_validator

from evaluation.base import Interval, Record
from evaluation.comparison import Comparison
from evaluation.evidence import Evidence
from evaluation.gate_config import GateLimits
from evaluation.report import Report

INPUTS_SCHEMA: Literal["worldmodel.gate-inputs/1"] = "worldmodel.gate-inputs/1"
DECISION_SCHEMA: Literal["worldmodel.decision/3"] = "worldmodel.decision/3"
RuleVerdict = Literal["pass", "fail", "missing", "not_applicable"]
Verdict = Literal["promote", "refuse", "already_champion"]


class GateInputs(Record):
    """All that a decision follows from. A report or comparison is null where there is none."""

    schema_version: Literal["worldmodel.gate-inputs/1"] = INPUTS_SCHEMA
    report: Report | None
    champion_report: Report | None
    comparison: Comparison | None
    evidence: Evidence
    limits: GateLimits


class Rule(Record):
    """One rule of a decision. `limit`, `observed` and its `ci95` are in `unit`; null where it is about no number."""

    id: str
    limit: float | str | None = None
    observed: float | str | None = None
    ci95: Interval | None = None
    unit: str | None = None
    verdict: RuleVerdict
    sentence: str


class Decision(Record):
    """What was decided about one candidate, from which inputs (by fingerprint), rule by rule.

    `evidence` and `limits` are null where the inputs did not hold together, which is refused.
    """

    schema_version: Literal["worldmodel.decision/3"] = DECISION_SCHEMA
    verdict: Verdict
    summary: str
    evidence: Evidence | None
    limits: GateLimits | None
    report_sha256: str | None
    champion_report_sha256: str | None
    comparison_sha256: str | None
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _follows_from_rules(self) -> Self:
        passed = bool(self.rules) and all(rule.verdict == "pass" for rule in self.rules)
        if (self.verdict == "promote") != passed:
            raise ValueError(f"verdict is {self.verdict}, but {'' if passed else 'not '}every rule passes")
        return self
