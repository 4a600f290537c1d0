"""A model's bill of materials as CycloneDX 1.6 JSON (ECMA-424): parts, data, libraries, networks, and a model card."""

import re
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from flows.audit.cards.schema import Measure, ModelCard, Network, Part, SourceFacts, Stage
from flows.audit.cards.words import NOT_FOR, USERS

SPEC_VERSION = "1.6"
Json = dict[str, Any]
_SEPARATORS = re.compile(r"[-_.]+")


def bill(card: ModelCard) -> Json:
    """The bill. It follows from the card alone; its serial number from the model and the ledger's head."""
    ref = f"model:{card.model.sha256}"
    data, libraries = _data(card), [_library(name, version) for name, version in card.packages.items()]
    networks = [_network(one) for one in (card.evaluation.networks if card.evaluation else ())]
    parts = [_part(part) for part in card.parts]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{ref}#{card.as_of.hash}')}",
        "version": 1,
        "metadata": {
            "timestamp": card.as_of.time,
            "lifecycles": [{"phase": "post-build"}],
            "tools": {"components": [{"type": "application", "name": "worldmodel", **_tool_version(card)}]},
            "component": {
                "type": "machine-learning-model",
                "bom-ref": ref,
                "name": card.model.name,
                "version": card.model.version,
                "description": card.standing.sentence,
                "hashes": _hashes(card.model.sha256),
                "components": parts,
                "modelCard": _model_card(card, [component["bom-ref"] for component in data]),
                "properties": _properties(card),
            },
        },
        "components": [*data, *networks, *libraries],
        "dependencies": [
            {"ref": ref, "dependsOn": [one["bom-ref"] for one in (*parts, *data, *networks, *libraries)]},
            *({"ref": one["bom-ref"], "dependsOn": []} for one in (*parts, *data, *networks, *libraries)),
        ],
    }


def _tool_version(card: ModelCard) -> Json:
    found = card.packages.get("worldmodel")
    return {"version": found} if found else {}


def _hashes(sha256: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": sha256}]


def _part(part: Part) -> Json:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"part:{part.name}:{part.sha256}",
        "name": part.name,
        "description": part.what,
        "hashes": _hashes(part.sha256),
        "properties": [{"name": "worldmodel:stage", "value": part.stage}],
    }


def _data(card: ModelCard) -> list[Json]:
    if card.data is None:
        return []
    prepared = {
        "type": "data",
        "bom-ref": f"data:prepared:{card.data.manifest_sha256}",
        "name": "prepared data",
        "hashes": _hashes(card.data.manifest_sha256),
        "data": [{"type": "dataset", "name": "prepared data"}],
    }
    return [prepared, *(_source(source, card.data.manifest_sha256) for source in card.data.sources)]


def _source(source: SourceFacts, prepared: str) -> Json:
    counts = (("clips", source.clips), ("logs", source.logs), ("frames", source.frames))
    found: Json = {
        "type": "data",
        "bom-ref": f"data:{source.name}:{source.digest or prepared}",
        "name": source.name,
        "data": [{"type": "dataset", "name": source.name}],
        "properties": [
            *_property("worldmodel:adapter", source.adapter),
            *(
                {"name": f"worldmodel:{what}:{split}", "value": str(n)}
                for what, by_split in counts
                for split, n in by_split.items()
            ),
        ],
    }
    if source.licences:
        found["licenses"] = [{"license": {"name": licence}} for licence in source.licences]
    return found | ({"hashes": _hashes(source.digest)} if source.digest else {})


def _library(name: str, version: str) -> Json:
    known = quote(_SEPARATORS.sub("-", name).lower())
    purl = f"pkg:pypi/{known}@{quote(version, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _network(network: Network) -> Json:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"network:{network.id}:{network.sha256}",
        "name": network.id,
        "version": network.package,
        "description": "measures; no part of the model",
        "scope": "excluded",
        "hashes": _hashes(network.sha256),
        "licenses": [{"license": {"name": network.licence or "not recorded"}}],
    }


def _model_card(card: ModelCard, data: list[str]) -> Json:
    measures = card.evaluation.measures if card.evaluation else ()
    return {
        "modelParameters": {
            "task": "reconstruction and generation of driving scenes",
            "architectureFamily": "; ".join(part.title for part in card.parts),
            "datasets": [{"ref": ref} for ref in data],
            "inputs": [{"format": "posed images, or a first frame with a layout of the road"}],
            "outputs": [{"format": "images and video"}],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [_metric(measure) for measure in measures if measure.value is not None]
        },
        "considerations": {
            "users": list(USERS),
            "useCases": [use for part in card.parts for use in part.uses],
            "technicalLimitations": [*NOT_FOR, *(limit for part in card.parts for limit in part.limits)],
        },
        "properties": [
            *({"name": "worldmodel:not-measured", "value": f"{n.what}: {n.reason}"} for n in card.not_measured),
            *({"name": f"worldmodel:stage:{one.stage}", "value": _stage(one)} for one in card.training),
        ],
    }


def _metric(measure: Measure) -> Json:
    places = [
        measure.of,
        measure.source,
        measure.split,
        "same logs" if measure.same_log else "",
        f"{measure.region} pixels",
    ]
    counts = f"{measure.n_clips} clips of {measure.n_logs} logs"
    found: Json = {
        "type": f"{measure.metric} [{measure.unit}]",
        "value": repr(measure.value),
        "slice": ", ".join([*filter(None, places), counts]),
    }
    if measure.ci95 is not None:
        bounds = {"lowerBound": repr(measure.ci95.low), "upperBound": repr(measure.ci95.high)}
        found["confidenceInterval"] = bounds
    return found


def _stage(stage: Stage) -> str:
    """A stage in a line: where it was computed, from which seed, in how many steps."""
    facts = (
        ("computed in", stage.made_in),
        ("seed", stage.seed),
        ("steps", stage.steps),
        ("output", stage.output_sha256),
    )
    return ", ".join(f"{name} {value}" for name, value in facts if value not in (None, ""))


def _properties(card: ModelCard) -> list[Json]:
    verdict = card.decision.verdict if card.decision else ""
    validation = card.data.validation if card.data else None
    rows = (
        ("run", card.run.run_id),
        ("actor", card.run.actor),
        ("git-commit", card.run.snapshot),
        ("git-tree", card.run.tree),
        ("uncommitted-changes", str(card.run.dirty).lower()),
        ("gate-verdict", verdict),
        ("data-validation", "" if validation is None else "fit" if validation.fit else "unfit"),
        ("champion", str(card.standing.champion).lower()),
        ("ledger-entry", str(card.as_of.sequence)),
        ("ledger-hash", card.as_of.hash),
    )
    return [row for name, value in rows for row in _property(f"worldmodel:{name}", value)]


def _property(name: str, value: str) -> list[Json]:
    return [{"name": name, "value": value}] if value else []
