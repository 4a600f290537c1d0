"""Going back to an earlier champion."""

import pytest

from flows.ledger.bodies import ChampionFlagged, DataRecalled
from flows.ledger.standing import champions
from flows.promotion.promote import promote, promoted
from flows.promotion.rollback import Rollback, earlier, roll_back
from tests.flows.promotion.stage import NAME, Stage, promotion, sha
from worldmodel.errors import ParamsError, RegistryError

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own


@pytest.fixture
def served(stage: Stage) -> Stage:
    """Versions 1, 2 and 3 have served, one after the other."""
    for version in (1, 2, 3):
        promote(stage.ledger, stage.client, promotion(version, version - 1 or None), "alice")
    return stage


def back(stage: Stage, to: str | None = None, reason: str = "it blurs", accept: bool = False) -> str:
    """Rolls back; returns the version that serves then."""
    return promoted(roll_back(stage.ledger, stage.client, Rollback(NAME, reason, to, accept), "bob")).version


def test_a_rollback_is_a_recorded_promotion_of_the_champion_before(served: Stage) -> None:
    assert back(served) == "2"
    standing = champions(served.ledger.entries())[NAME]
    assert (standing.version, standing.by, standing.intent.cause) == ("2", "bob", "rollback")
    assert (standing.intent.reason, standing.intent.from_version) == ("it blurs", "3")
    served.assert_agrees()


def test_another_rollback_goes_further_back_and_not_to_what_was_rolled_back(served: Stage) -> None:
    assert [back(served), back(served)] == ["2", "1"]
    with pytest.raises(RegistryError, match="toy had no champion before version 1: there is none to go") as caught:
        back(served)
    assert caught.value.fix.startswith("name one that served later: --to 2 or 3; or ")
    promote(served.ledger, served.client, promotion(5, 1), "alice")
    assert earlier(served.ledger.entries(), NAME) == "1"
    assert back(served, to="3") == "3"  # in place of 5, whatever became of it before
    assert earlier(served.ledger.entries(), NAME) == "1"


def test_the_first_champion_has_none_before_it_and_no_champion_even_less(stage: Stage) -> None:
    with pytest.raises(RegistryError, match="toy has no champion, so there is nothing to take back"):
        back(stage)
    promote(stage.ledger, stage.client, promotion(1, None), "alice")
    with pytest.raises(
        RegistryError, match="toy had no champion before version 1: there is none to go back to"
    ) as caught:
        back(stage)
    assert "worldmodel run" in caught.value.fix and "--to" not in caught.value.fix  # only former champions are taken


def test_any_version_that_has_served_may_be_named_and_no_other(served: Stage) -> None:
    assert back(served, to="1") == "1"
    with pytest.raises(RegistryError, match="the ledger knows no version 7 of toy") as caught:
        back(served, to="7")
    assert caught.value.expected == "1 or 2 or 3 or 4 or 5 or 6"
    with pytest.raises(RegistryError, match="version 4 of toy has never been champion") as caught:
        back(served, to="4")  # no gate has let it through
    assert caught.value.expected == "1 or 2 or 3"
    with pytest.raises(RegistryError, match="version 1 of toy is champion already"):
        back(served, to="1")
    with pytest.raises(ParamsError, match="--reason"):
        back(served, reason="")
    assert served.moves() == ["1", "2", "3", "1"]


def test_recalled_data_have_to_be_accepted_which_is_recorded(served: Stage) -> None:
    flag = ChampionFlagged(name=NAME, version="2", model_sha256=sha(2), recalled="log l1", splits={"train": 2})
    served.ledger.append_all([DataRecalled(what="log", id="l1", reason="consent"), flag], "carol")
    with pytest.raises(RegistryError, match="version 2 of toy has seen recalled data") as caught:
        back(served)
    assert caught.value.got == "log l1" and "--accept-recalled" in caught.value.fix
    assert back(served, accept=True) == "2"
    reason = champions(served.ledger.entries())[NAME].intent.reason
    assert reason == "it blurs (accepted although it has seen recalled data: log l1)"


def test_an_alias_that_was_moved_by_hand_leaves_no_version_before_it(served: Stage) -> None:
    served.put_by_hand(5)
    with pytest.raises(RegistryError, match="no telling which was before it") as caught:
        back(served)
    assert (caught.value.expected, caught.value.got) == ("version 3", "version 5")
    assert caught.value.fix == "name the version to go to: --to 1 or 2 or 3"
    assert back(served, to="3") == "3"
    served.assert_agrees()
