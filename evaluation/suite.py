"""Measures a world model: prepared clips, renders and generated videos in, a report out.

Values are means over the images of a clip, then over clips, so that a long clip does not count more. The same inputs,
resamples and seed give the same report, byte for byte.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.base import fingerprint
from evaluation.config import EvaluateConfig
from evaluation.data_identity import check_distinct, data_digest, protocol_of, source_facts
from evaluation.extractors.networks import Networks
from evaluation.generation.features import GroupFeatures
from evaluation.generation.measure import Generation, measure_generation
from evaluation.generation.rollouts import RolloutIndex, Rollouts, read_rollouts
from evaluation.generation_report import STUDENT
from evaluation.protocols import Preset, preset
from evaluation.reconstruction import Reconstruction, RenderedClips, measure_reconstruction
from evaluation.renders import RenderIndex, read_index
from evaluation.report import (
    ClipFacts,
    DataIdentity,
    Group,
    ModelIdentity,
    NotApplicable,
    Report,
    Statistics,
    Training,
)
from evaluation.selection import select_renders, select_rollouts
from evaluation.slices import Slicing, clip_facts
from evaluation.training import History, training_facts
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Measured:
    """What `evaluate` measures: the model, and the directories of the stages before it.

    Attributes:
        model: its identity.
        reconstruct, rollout: None where the stage was not applicable; `not_applicable` then says why.
        networks: that learned metrics are taken with; None where the protocol has none.
        history: of WorldRec's training, if there is one.
        generation_histories: of the stages of WorldGen's training, by stage.
    """

    model: ModelIdentity
    prepare: Path
    reconstruct: Path | None = None
    rollout: Path | None = None
    networks: Networks | None = None
    history: History | None = None
    generation_histories: Mapping[str, History] = field(default_factory=dict)
    not_applicable: tuple[NotApplicable, ...] = ()


@dataclass(frozen=True)
class Watch:
    """Told how far it is: clips done and clips in all, of renders and of generated videos."""

    clips: Progress = lambda done, total: None
    videos: Progress = lambda done, total: None


@dataclass(frozen=True)
class _Job:
    """What is measured, after the protocol's choice of clips."""

    measured: Measured
    preset: Preset
    store: ClipStore
    renders: RenderIndex | None
    rollouts: RolloutIndex | None
    slicing: Slicing
    statistics: Statistics
    left_out: tuple[NotApplicable, ...]


@dataclass(frozen=True)
class Evaluation:
    """The report, and the features behind its distances (`generation.features.write_features` keeps them)."""

    report: Report
    features: tuple[GroupFeatures, ...]


def evaluate(measured: Measured, config: EvaluateConfig, seed: int, watch: Watch = Watch()) -> Report:
    """The report of `measure` alone."""
    return measure(measured, config, seed, watch).report


def measure(measured: Measured, config: EvaluateConfig, seed: int, watch: Watch = Watch()) -> Evaluation:
    """Scores every rendered clip and every generated video that the protocol counts, and writes up what was found.

    Args:
        measured: where the data, renders and videos are.
        config: the protocol, and the resamples of the intervals.
        seed: of the intervals.
        watch: told the progress.

    Raises:
        ParamsError: there is no such protocol.
        DataError: renders or videos that are missing, damaged, not of these clips or not made under the protocol; a
            clip that cannot be read.
        MissingDependencyError: the weights of a network that the protocol asks for are not there.
    """
    job = _job(measured, config, seed)
    reconstruction, generation = _reconstruction(job, watch.clips), _generation(job, watch.videos)
    groups = () if reconstruction is None else reconstruction.groups
    found = [part for part in (reconstruction, generation) if part is not None]
    extractors = [extractor for part in found for extractor in part.extractors]
    protocol = protocol_of(job.preset, job.store, job.renders, generation, extractors)
    training = None if measured.history is None else training_facts(measured.history)
    trained = {name: training_facts(history) for name, history in measured.generation_histories.items()}
    beats, summary = _summary(groups, training)
    videos = () if generation is None else generation.groups
    said = [*(f"{name}: {facts.sentence}" for name, facts in trained.items()), *(group.sentence for group in videos)]
    digest = data_digest(job.store, job.renders, generation)
    report = Report(
        model=measured.model,
        data=DataIdentity(sha256=digest, sources=source_facts(job.store, measured.prepare)),
        protocol=protocol,
        protocol_fingerprint=fingerprint(protocol),
        statistics=job.statistics,
        clips=tuple(job.slicing.facts.values()),
        groups=groups,
        generation=videos,
        training=training,
        generation_training=trained,
        beats_baseline=beats,
        summary=" ".join([summary, *said]),
        not_applicable=(*job.left_out, *(entry for part in found for entry in part.not_applicable)),
    )
    return Evaluation(report, generation.features if generation else ())


def _job(measured: Measured, config: EvaluateConfig, seed: int) -> _Job:
    """Reads both indexes, keeps what the protocol counts, and looks at every clip behind it."""
    store, chosen, left_out = ClipStore(measured.prepare), preset(config.protocol), list(measured.not_applicable)
    renders, rollouts = None, None
    if measured.reconstruct is not None:
        renders, others = select_renders(read_index(measured.reconstruct), store, chosen)
        _check_weights(measured, "worldrec", renders.model_sha256, "reconstruct")
        left_out += others
    if measured.rollout is not None:
        rollouts, others = select_rollouts(read_rollouts(measured.rollout), store, chosen)
        _check_generators(measured, rollouts)
        left_out += others
    slicing = Slicing(_facts(store, renders, rollouts), config.slice_min_clips)
    statistics = Statistics(resamples=config.bootstrap_resamples, seed=seed)
    return _Job(measured, chosen, store, renders, rollouts, slicing, statistics, tuple(left_out))


def _facts(store: ClipStore, renders: RenderIndex | None, rollouts: RolloutIndex | None) -> dict[str, ClipFacts]:
    """The facts of every measured clip by id, in the order of their ids."""
    rendered = [entry.clip_id for entry in renders.clips] if renders else []
    rolled = [sample.clip_id for sample in rollouts.samples if sample.role == "generated"] if rollouts else []
    facts = {clip_id: clip_facts(store.row(clip_id), store.load(clip_id)) for clip_id in sorted({*rendered, *rolled})}
    check_distinct(facts.values())
    return facts


def _reconstruction(job: _Job, progress: Progress) -> Reconstruction | None:
    root = job.measured.reconstruct
    if root is None or job.renders is None or job.preset.reconstruction is None:
        return None
    renders = RenderedClips(root, job.renders, job.store)
    return measure_reconstruction(renders, job.preset, job.slicing, job.statistics, job.measured.networks, progress)


def _generation(job: _Job, progress: Progress) -> Generation | None:
    root, rules = job.measured.rollout, job.preset.generation
    if root is None or job.rollouts is None or rules is None:
        return None
    if job.measured.networks is None:
        raise DataError("videos are to be measured, and no networks were given", fix="give Measured its networks")
    rollouts = Rollouts(root, job.rollouts, job.store)
    return measure_generation(rollouts, rules, job.slicing, job.statistics, job.measured.networks, progress)


def _check_generators(measured: Measured, index: RolloutIndex) -> None:
    _check_weights(measured, "tokenizer", index.tokenizer_sha256, "rollout")
    for method in index.methods:
        if method.name == STUDENT:
            _check_weights(measured, "worldgen", method.weights_sha256, "rollout")


def _check_weights(measured: Measured, part: str, found: str | None, stage: str) -> None:
    """Refuses to measure, as this model's, what other weights made."""
    expected = measured.model.parts.get(part)
    if expected is not None and found is not None and found != expected:
        what = f"what {stage} left was made by other {part} weights than the model's"
        raise DataError(what, expected=expected, got=found, fix=f"run the {stage} stage again")


def _summary(groups: Sequence[Group], training: Training | None) -> tuple[bool | None, str]:
    """Whether PSNR is above nearest context on every held-out group (None if none says), and all of it in words."""
    judged = [group.beats_baseline for group in groups if not group.same_log]
    beats = None if not judged or None in judged else all(judged)
    verdict = {
        True: "The model beats the nearest-context baseline on every held-out group.",
        False: "The model does not beat the nearest-context baseline on every held-out group.",
        None: "No held-out comparison with the nearest-context baseline was possible.",
    }[beats]
    sentences = [group.sentence for group in groups] + ([training.sentence] if training else [])
    return beats, " ".join([verdict, *sentences])
