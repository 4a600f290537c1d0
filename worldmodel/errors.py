"""Every error that is the user's to solve, as one tree.

    WorldModelError                 what went wrong, what was expected, and the way out
    ├── ParamsError                 params.yaml: a wrong key, type, range or combination
    ├── DataError                   a log, clip, shard or manifest that cannot be used
    │   ├── UnfitDataError          the data were read, and failed validation
    │   └── ProtocolMismatchError   two reports were not measured alike, so they are not compared
    ├── StageError                  a pipeline stage failed; names the stage and its log
    ├── WorkspaceError              git, DVC, lock, disk: the place a run works in
    ├── RemoteError                 a remote store is full, or cannot be reached; trying again may help
    ├── RegistryError               the model registry is not in the state a promotion assumed
    ├── LedgerError                 the ledger or the lineage index cannot be opened, or does not hold together
    ├── RecordError                 a lineage record that is not there, or is not what was signed; an unknown digest
    ├── SigningError                a key that is missing or not trusted, or a signature that does not verify
    └── MissingDependencyError      a package or a service that this action needs

`Preempted` stands apart: it is how a stage that was told to stop says that it saved its state and can go on.
"""


class WorldModelError(Exception):
    """An error with a way out.

    Args:
        what: what is wrong, naming the file and field.
        expected: what would have been right.
        got: what was there instead.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, expected: str = "", got: str = "", fix: str = "") -> None:
        self.what, self.expected, self.got, self.fix = what, expected, got, fix
        rows = [("expected", expected), ("got", got), ("fix", fix)]
        super().__init__("\n".join([what, *(f"  {name}: {text}" for name, text in rows if text)]))

    def __reduce__(self) -> tuple[object, ...]:
        """Keeps the parts across process pools, which pickle exceptions by their positional arguments."""
        return (_rebuild, (type(self), self.what, self.expected, self.got, self.fix))


def _rebuild(kind: type[WorldModelError], what: str, expected: str, got: str, fix: str) -> WorldModelError:
    return kind(what, expected=expected, got=got, fix=fix)


class ParamsError(WorldModelError):
    """params.yaml: a wrong key, type, range or combination."""


class DataError(WorldModelError):
    """A log, clip, shard or manifest that cannot be used."""


class UnfitDataError(DataError):
    """The data were read, and failed validation."""


class ProtocolMismatchError(DataError):
    """Two reports were not measured alike, so they are not compared."""


class StageError(WorldModelError):
    """A pipeline stage failed."""


class WorkspaceError(WorldModelError):
    """Git, DVC, lock or disk: the place a run works in."""


class RemoteError(WorldModelError):
    """A remote store is full, or cannot be reached or written."""


class RegistryError(WorldModelError):
    """The model registry is not in the state a promotion assumed."""


class LedgerError(WorldModelError):
    """The ledger or the lineage index cannot be opened, or does not hold together."""


class RecordError(WorldModelError):
    """A lineage record that is not there, or is not what was signed; a digest that no record names, or several do."""


class SigningError(WorldModelError):
    """A key that is missing or not trusted, or a signature that does not verify."""


class MissingDependencyError(WorldModelError):
    """A package or a service that this action needs is not there."""


class Preempted(Exception):
    """A stage was told to stop, saved its state, and can go on from there."""
