"""One history with a champion that was approved, recalled data and keys that are not its business; and its pack."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.audit.books import ModelRef, open_books
from flows.audit.pack.archive import unpack
from flows.audit.pack.export import Exported, Order, export
from flows.ledger.anchors import anchor
from flows.ledger.bodies import DataRecalled, ModelRegistered
from flows.ledger.trust import trust
from flows.promotion.approvals import Opinion, approve
from flows.promotion.policy import PromotionPolicy
from flows.signing.keys import make_key
from tests.flows.history import MODEL, History, make_history

REASON = "consent <script>withdrawn</script> | & more"


@dataclass(frozen=True)
class Packed:
    """A history, the pack of its champion, and the files in it."""

    history: History
    exported: Exported
    path: Path
    folder: Path

    @property
    def roots(self) -> tuple[str, ...]:
        """The ids that an auditor would know."""
        return (self.history.key.keyid,)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packed]:
    """No test may change it."""
    root = tmp_path_factory.mktemp("packed")
    made = make_history(root)
    add_business(made, root)
    exported = exported_pack(made, made.runs[2].model["version"], root)
    yield Packed(made, exported, Path(exported.path), unpack(Path(exported.path), root / "unpacked").folder)
    made.ledger.close()


def add_business(made: History, root: Path) -> None:
    """An approval of the champion, a recalled log that it has seen, and things that are nobody's of it."""
    approver, stranger = (make_key(root / "keys" / f"{name}.pem") for name in ("approver", "stranger"))
    trust(made.ledger, made.key, approver.public, "ada", ["approver"], "root")
    trust(made.ledger, made.key, stranger.public, "a stranger", ["approver"], "root")
    model = made.runs[2].model
    registered = ModelRegistered(
        name=MODEL,
        version=model["version"],
        model_sha256=model["sha256"],
        run_id=made.runs[2].run_id,
        parts=model["parts"],
    )
    approve(made.ledger, registered, Opinion("approve", "looked at the videos"), approver, "ada", PromotionPolicy())
    made.ledger.append(DataRecalled(what="log", id="log-b", reason=REASON), "root")
    made.ledger.append(DataRecalled(what="log", id="log-of-others", reason="a secret of others"), "root")
    anchor(made.root, made.ledger, made.key)


def exported_pack(made: History, version: str, out: Path, *, with_weights: bool = False) -> Exported:
    """The pack of a version."""
    run = next(run for run in made.runs if run.model["version"] == version)
    model = ModelRef(name=MODEL, version=version, model_sha256=run.model["sha256"])
    with open_books(made.state, made.root) as books:
        return export(books, Order(model, made.key, "root", out, with_weights))
