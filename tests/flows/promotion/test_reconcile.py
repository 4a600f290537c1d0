"""Settling what is open: completed, abandoned, or observed and left alone, and never guessed."""

import shutil
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.base import Record
from flows.ledger.bodies import KIND_OF, AliasObserved, PromotionAbandoned, PromotionCompleted, PromotionIntended
from flows.ledger.entry import Entry, next_entry
from flows.ledger.standing import champions, open_intents
from flows.promotion.promote import promote
from flows.promotion.reconcile import Place, last_said, reconcile, reconcile_all, settle, superseded, told
from tests.flows.promotion.stage import NAME, Stage, client_of, promotion, sha
from worldmodel.errors import RegistryError

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # mlflow's own


def at(version: int | None) -> Place:
    """The alias on a version, or on none."""
    return (None, None) if version is None else (str(version), sha(version))


def written(*bodies: Record) -> list[Entry]:
    """Entries with these bodies, in order."""
    entries: list[Entry] = []
    for body in bodies:
        last = entries[-1] if entries else None
        entries.append(next_entry(last, "2026-01-01T00:00:00.000000Z", "a", KIND_OF[type(body)], body.model_dump()))
    return entries


def intent(promotion: str, version: int, before: int | None) -> PromotionIntended:
    """An intent to move from a version to another."""
    (to, to_sha256), (source, source_sha256) = at(version), at(before)
    facts: dict[str, Any] = {"from_version": source, "from_sha256": source_sha256, "cause": "gate", "reason": ""}
    return PromotionIntended(promotion=promotion, name=NAME, version=to or "", model_sha256=to_sha256 or "", **facts)


def completed(promotion: str) -> PromotionCompleted:
    """The completion of an intent by its promoter."""
    return PromotionCompleted(promotion=promotion, name=NAME, by="promoter")


STANDING = (intent("a", 1, None), completed("a"))  # version 1 serves


def test_an_intent_is_completed_where_the_alias_stands_at_its_version() -> None:
    found = settle(written(*STANDING, intent("b", 2, 1)), NAME, at(2))
    assert found == [PromotionCompleted(promotion="b", name=NAME, by="reconciler")]


def test_an_intent_is_abandoned_where_the_alias_never_moved() -> None:
    (found,) = settle(written(*STANDING, intent("b", 2, 1)), NAME, at(1))
    assert found == PromotionAbandoned(promotion="b", name=NAME, why="the alias still stands at version 1")
    (first,) = settle(written(intent("a", 1, None)), NAME, at(None))
    assert first == PromotionAbandoned(promotion="a", name=NAME, why="the alias still stands at no version")


@pytest.mark.parametrize("found", [at(3), at(None), ("2", sha("another")), ("1", None)])
def test_an_alias_elsewhere_is_observed_and_the_intent_left_open(found: Place) -> None:
    entries = written(*STANDING, intent("b", 2, 1))
    (body,) = settle(entries, NAME, found)
    assert body == AliasObserved(name=NAME, recorded_version="1", found_version=found[0], found_sha256=found[1])
    entries = written(*STANDING, intent("b", 2, 1), body)
    assert settle(entries, NAME, found) == []  # once
    assert [i.promotion for _, i in open_intents(entries)] == ["b"]
    (given_up,) = superseded(entries, NAME, found)
    assert given_up.promotion == "b" and "another promotion begins from there" in given_up.why


def test_an_alias_that_was_put_back_by_hand_is_observed_as_well() -> None:
    gone = AliasObserved(name=NAME, recorded_version="1", found_version="3", found_sha256=sha(3))
    (back,) = settle(written(*STANDING, gone), NAME, at(1))
    assert back == AliasObserved(name=NAME, recorded_version="3", found_version="1", found_sha256=sha(1))
    again = settle(written(*STANDING, gone, back), NAME, at(3))
    assert [type(body) for body in again] == [AliasObserved]


def test_other_models_are_left_alone() -> None:
    other = intent("x", 5, None).model_copy(update={"name": "other"})
    assert settle(written(*STANDING, other), NAME, at(1)) == []
    assert last_said(written(*STANDING, other), "other") == (None, None)


VERSIONS = st.one_of(st.none(), st.integers(1, 4))


@given(st.lists(st.tuples(st.sampled_from(["promote", "no intent", "no move", "no word", "by hand"]), VERSIONS)))
def test_whatever_is_cut_short_or_moved_by_hand_ledger_and_alias_agree_in_the_end(
    steps: Sequence[tuple[str, int | None]],
) -> None:
    bodies: list[Record] = []
    alias = at(None)
    for number, (what, version) in enumerate(steps):
        if what == "by hand":
            alias = at(version)
            continue
        bodies += settle(written(*bodies), NAME, alias)
        if what == "no intent" or version is None or at(version) == alias:
            continue
        bodies += superseded(written(*bodies), NAME, alias)
        begun = intent(str(number), version, 0).model_copy(update={"from_version": alias[0], "from_sha256": alias[1]})
        bodies.append(begun)
        if what != "no move":
            alias = at(version)
        if what == "promote":
            bodies.append(completed(str(number)))
        assert len(open_intents(written(*bodies))) <= 1
    bodies += settle(written(*bodies), NAME, alias)
    entries = written(*bodies)
    assert last_said(entries, NAME) == alias
    assert settle(entries, NAME, alias) == []
    moved = {(body.version, body.model_sha256) for body in bodies if isinstance(body, PromotionIntended)}
    assert all((s.version, s.model_sha256) in moved for s in champions(entries).values())


def test_an_alias_that_somebody_moved_is_told_once_and_a_promotion_goes_on_from_there(stage: Stage) -> None:
    promote(stage.ledger, stage.client, promotion(1, None), "alice")
    stage.put_by_hand(4)
    (entry,) = reconcile(stage.ledger, stage.client, NAME, "bob")
    assert told(entry) == "toy: the alias champion stands at version 4, where the ledger had version 1"
    assert reconcile(stage.ledger, stage.client, NAME, "bob") == []
    with pytest.raises(RegistryError, match="the champion of toy changed"):
        promote(stage.ledger, stage.client, promotion(2, 1), "alice")
    promote(stage.ledger, stage.client, promotion(2, 4), "alice")
    stage.assert_agrees()
    assert stage.moves() == ["1", "4", "2"]


def test_a_champion_older_than_the_ledger_is_observed_at_the_first_promotion(stage: Stage) -> None:
    stage.put_by_hand(2)
    entries = promote(stage.ledger, stage.client, promotion(3, 2), "alice")
    assert [entry.kind for entry in entries] == ["alias.observed", "promotion.intended", "promotion.completed"]


def test_all_models_that_the_ledger_knows_are_settled(stage: Stage) -> None:
    stage.client.create_registered_model("foreign")
    stage.client.create_model_version("foreign", "file:///nowhere")
    stage.client.set_registered_model_alias("foreign", "champion", "1")
    stage.put_by_hand(1)
    found = reconcile_all(stage.ledger, stage.client, "alice")
    assert {name: [entry.kind for entry in entries] for name, entries in found.items()} == {NAME: ["alias.observed"]}
    assert reconcile_all(stage.ledger, stage.client, "alice") == {NAME: []}


def test_another_registry_than_the_ledger_is_about_is_no_reason_to_record_anything(stage: Stage) -> None:
    promote(stage.ledger, stage.client, promotion(1, None), "alice")
    shutil.copy(stage.root / "mlflow.db", stage.root / "other.db")
    empty = client_of(f"sqlite:///{stage.root / 'other.db'}")
    empty.delete_registered_model(NAME)
    with pytest.raises(RegistryError, match="the registry has no model toy, of which the ledger knows") as caught:
        reconcile(stage.ledger, empty, NAME, "bob")
    assert "MLFLOW_TRACKING_URI" in caught.value.fix
    assert stage.kinds() == ["promotion.intended", "promotion.completed"]
