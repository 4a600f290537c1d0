"""The book of one check: how many things were looked at, and what came of it.

Damaged input is what a verifier is for, so reading it goes through `attempt`, which turns whatever a reader raises into
a finding.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from flows.audit.finding import Finding
from flows.audit.verify.evidence import Note
from worldmodel.errors import WorldModelError

Value = TypeVar("Value")
Given = ParamSpec("Given")
# What readers of JSON, YAML, envelopes and records raise on damage (ValueError covers JSON, Unicode and pydantic).
DAMAGE = (WorldModelError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, RecursionError)
_DIGEST_LENGTHS, _SHOWN = (32, 40, 64), 16


class Tally:
    """Counts and collects while one sort of thing is checked; `what` names the sort in people's words."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.count = 0
        self.findings: list[Finding] = []
        self.notes: list[Note] = []

    def found(self, code: str, where: str, sentence: str) -> None:
        """Something is not as it was recorded."""
        self.findings.append(Finding(what=code, where=where, sentence=sentence))

    def note(self, where: str, sentence: str) -> None:
        """Something could not be checked, or is worth knowing."""
        self.notes.append(Note(where=where, sentence=sentence))

    def same(self, code: str, where: str, subject: str, expected: object, got: object) -> bool:
        """Counts a comparison; two values that differ are a finding that shows both."""
        self.count += 1
        if expected == got:
            return True
        self.found(code, where, f"{subject}: expected {shown(expected)}, got {shown(got)}")
        return False

    def attempt(
        self, code: str, where: str, read: Callable[Given, Value], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Value | None:
        """What `read` returns; None, and a finding, where it cannot be read."""
        try:
            return read(*args, **kwargs)
        except DAMAGE as error:
            self.found(code, where, f"cannot be read: {_said(error)}")
            return None


def shown(value: object) -> str:
    """A value in a sentence: digests shortened, nothing longer than a line or two."""
    if value is None:
        return "none"
    text = str(value)
    if len(text) in _DIGEST_LENGTHS and not set(text) - set("0123456789abcdef"):
        return text[:_SHOWN]
    return text if len(text) <= 160 else f"{text[:157]}..."


def _said(error: Exception) -> str:
    if isinstance(error, WorldModelError):
        parts = [error.what, f"expected {error.expected}" if error.expected else "", f"got {error.got}"]
        return "; ".join(part for part in (*parts[:2], parts[2] if error.got else "") if part)[:400]
    return f"{type(error).__name__}: {error}"[:400]
