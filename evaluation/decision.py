"""The gate's decision as a file: the verdict, the inputs it followed from, and every rule with its numbers.

Versioned (`worldmodel.decision/2`); readers refuse any other. Standard library and pydantic only.
"""

from typing import Literal, Self

from pydantic import model_validator

from evaluation.base import Record
from evaluation.config import GateLimits

DECISION_SCHEMA: Literal["worldmodel.decision/2"] = "worldmodel.decision/2"
RuleVerdict = Literal["pass", "fail", "missing", "not_applicable"]
Verdict = Literal["promote", "refuse", "already_champion"]


class GateContext(Record):
    """What the gate must know beside reports: who asks, who is champion, and whether the code was committed."""

    candidate_sha256: str
    champion_sha256: str | None = None
    dirty: bool = False


class Rule(Record):
    """One rule of a decision. `limit` and `observed` are in `unit`; null where the rule is not about a number."""

    id: str
    limit: float | str | None = None
    observed: float | str | None = None
    unit: str | None = None
    verdict: RuleVerdict
    sentence: str


class Decision(Record):
    """What was decided about one candidate, from which inputs, rule by rule."""

    schema_version: Literal["worldmodel.decision/2"] = DECISION_SCHEMA
    verdict: Verdict
    summary: str
    context: GateContext
    limits: GateLimits
    report_sha256: str | None
    champion_report_sha256: str | None
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _follows_from_rules(self) -> Self:
        passed = bool(self.rules) and all(rule.verdict == "pass" for rule in self.rules)
        if self.verdict == "promote" and not passed:
            raise ValueError("verdict is promote, but not every rule passes")
        return self
