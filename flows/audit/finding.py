"""What a check of records found wrong."""

from evaluation.base import Record


class Finding(Record):
    """One thing that does not hold.

    Attributes:
        what: a code of area and kind, as `ledger/removed`.
        where: what it is about: an entry, a file, a run.
        sentence: what is wrong, for people.
    """

    what: str
    where: str
    sentence: str
