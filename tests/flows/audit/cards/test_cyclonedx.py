import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource

from flows.audit.cards.cyclonedx import bill
from flows.audit.cards.schema import ModelCard, Network
from tests.oracles import DIRECTORY

SCHEMAS = DIRECTORY / "cyclonedx" / "schema" / "_res"


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    """The official schema of CycloneDX 1.6, with the schemas that it refers to."""
    found = {}
    for name in ("bom-1.6", "spdx", "jsf-0.82"):
        path = SCHEMAS / f"{name}.SNAPSHOT.schema.json"
        assert path.is_file(), f"{path} is missing: make setup"
        found[name] = json.loads(path.read_text())
    registry = Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in found.values())
    return Draft7Validator(found["bom-1.6"], registry=registry, format_checker=FormatChecker())


def test_the_bill_meets_the_official_schema(validator: Draft7Validator, card: ModelCard) -> None:
    assert [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(bill(card))] == []


def test_the_schema_would_notice_a_wrong_bill(validator: Draft7Validator, card: ModelCard) -> None:
    wrong = bill(card)
    wrong["metadata"]["component"]["modelCard"]["accuracy"] = "high"
    assert not validator.is_valid(wrong)


def test_a_bill_of_a_model_without_report_or_data_is_valid_too(validator: Draft7Validator, card: ModelCard) -> None:
    bare = card.model_copy(update={"evaluation": None, "data": None, "decision": None, "packages": {}})
    assert [error.message for error in validator.iter_errors(bill(bare))] == []


def component(made: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in made["components"] if one["name"] == name)


def test_parts_and_data_are_there_with_their_hashes(card: ModelCard) -> None:
    made = bill(card)
    model = made["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": card.model.sha256}]
    assert {one["name"]: one["hashes"][0]["content"] for one in model["components"]} == {
        part.name: part.sha256 for part in card.parts
    }
    drives = component(made, "drives")
    assert drives["hashes"][0]["content"] == "5" * 64
    assert drives["licenses"] == [{"license": {"name": "MIT"}}]
    assert {"name": "worldmodel:clips:train", "value": "4"} in drives["properties"]
    refs = [one["ref"] for one in model["modelCard"]["modelParameters"]["datasets"]]
    assert drives["bom-ref"] in refs


def test_libraries_are_those_that_were_installed(card: ModelCard) -> None:
    made = bill(card.model_copy(update={"packages": {"torch": "2.13.0+cpu", "Flask_Thing": "1.0"}}))
    assert component(made, "torch")["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert component(made, "Flask_Thing")["purl"] == "pkg:pypi/flask-thing@1.0"


def test_numbers_have_their_intervals_and_places(card: ModelCard) -> None:
    analysis = bill(card)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    assert analysis["performanceMetrics"][0] == {
        "type": "image/psnr [dB]",
        "value": "22.0",
        "slice": "reconstruction, synthetic, test, all pixels, 4 clips of 4 logs",
        "confidenceInterval": {"lowerBound": "21.0", "upperBound": "23.0"},
    }


def test_every_reference_is_to_something_in_the_bill(card: ModelCard) -> None:
    network = Network(id="i3d-k400", package="i3d==1", sha256="f" * 64, licence="MIT", kind="canonical")
    assert card.evaluation is not None
    measured = card.model_copy(update={"evaluation": card.evaluation.model_copy(update={"networks": (network,)})})
    made = bill(measured)
    model = made["metadata"]["component"]
    known = [one["bom-ref"] for one in (model, *model["components"], *made["components"])]
    assert len(set(known)) == len(known)
    assert {one["ref"] for one in made["dependencies"]} == set(known)
    assert {ref for one in made["dependencies"] for ref in one["dependsOn"]} == set(known) - {model["bom-ref"]}
    assert component(made, "i3d-k400")["scope"] == "excluded"


def test_one_ledger_and_model_give_one_serial_number(card: ModelCard) -> None:
    later = card.model_copy(update={"as_of": card.as_of.model_copy(update={"hash": "0" * 64})})
    assert bill(card)["serialNumber"] == bill(card)["serialNumber"] != bill(later)["serialNumber"]
