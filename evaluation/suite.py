"""Measures a world model: prepared clips, renders and generated videos in, a report out.

Values are means over the images of a clip, then over clips, so that a long clip does not count more. The same inputs,
resamples and seed give the same report, byte for byte.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.base import fingerprint
from evaluation.config import EvaluateConfig
from evaluation.data_identity import data_digest, protocol_of, source_facts
from evaluation.generation.measure import Generation, measure_generation
from evaluation.generation.network import FeatureNetwork
from evaluation.generation.rollouts import Rollouts, read_rollouts
from evaluation.generation_report import STUDENT
from evaluation.grouping import group_clips, not_applicable
from evaluation.renders import RenderedClip, RenderIndex, check_frames, read_index, read_renders
from evaluation.report import (
    DataIdentity,
    Group,
    ModelIdentity,
    NotApplicable,
    Report,
    Statistics,
    Training,
)
from evaluation.scoring import ClipScores, score_clip
from evaluation.training import History, training_facts
from worldmodel.data.manifest import ClipRow
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Generated:
    """The output of `rollout`, and the network that its distances are taken with."""

    root: Path
    network: FeatureNetwork


@dataclass(frozen=True)
class Measured:
    """What `evaluate` measures: the model, and the directories of the stages before it.

    Attributes:
        model: its identity.
        reconstruct, generated: None where the stage was not applicable; `not_applicable` then says why.
        history: of WorldRec's training, if there is one.
        generation_histories: of the stages of WorldGen's training, by stage.
    """

    model: ModelIdentity
    prepare: Path
    reconstruct: Path | None = None
    generated: Generated | None = None
    history: History | None = None
    generation_histories: Mapping[str, History] = field(default_factory=dict)
    not_applicable: tuple[NotApplicable, ...] = ()


@dataclass(frozen=True)
class Watch:
    """Told how far it is: clips done and clips in all, of renders and of generated videos."""

    clips: Progress = lambda done, total: None
    videos: Progress = lambda done, total: None


def evaluate(measured: Measured, config: EvaluateConfig, seed: int, watch: Watch = Watch()) -> Report:
    """Scores every rendered clip and every generated video, and writes up what was found.

    Args:
        measured: where the data, renders and videos are.
        config: resamples of the intervals, and how videos are measured.
        seed: of the intervals.
        watch: told the progress.

    Raises:
        DataError: renders or videos that are missing, damaged or not of these clips; a clip that cannot be read.
        MissingDependencyError: there are enough generated videos, but no weights of the feature network.
    """
    store, statistics = ClipStore(measured.prepare), Statistics(resamples=config.bootstrap_resamples, seed=seed)
    index = None if measured.reconstruct is None else read_index(measured.reconstruct)
    if index is not None:
        _check_weights(measured, "worldrec", index.model_sha256, "reconstruct")
    scores = _scores(store, measured.reconstruct, index, watch.clips)
    groups = tuple(group_clips(scores, statistics))
    generation = _generation(measured, config, statistics, store, watch.videos)
    protocol = protocol_of(store, index, generation)
    training = None if measured.history is None else training_facts(measured.history)
    trained = {name: training_facts(found) for name, found in measured.generation_histories.items()}
    beats, summary = _summary(groups, training)
    videos = () if generation is None else generation.groups
    said = [*(f"{name}: {facts.sentence}" for name, facts in trained.items()), *(group.sentence for group in videos)]
    left_out = [] if index is None else _left_out(scores, groups, store, index)
    return Report(
        model=measured.model,
        data=DataIdentity(sha256=data_digest(store, index, generation), sources=source_facts(store, measured.prepare)),
        protocol=protocol,
        protocol_fingerprint=fingerprint(protocol),
        statistics=statistics,
        groups=groups,
        generation=videos,
        training=training,
        generation_training=trained,
        beats_baseline=beats,
        summary=" ".join([summary, *said]),
        not_applicable=(*measured.not_applicable, *left_out, *(generation.not_applicable if generation else ())),
    )


def _generation(
    measured: Measured, config: EvaluateConfig, statistics: Statistics, store: ClipStore, progress: Progress
) -> Generation | None:
    if measured.generated is None:
        return None
    root, network = measured.generated.root, measured.generated.network
    index = read_rollouts(root)
    rollouts = Rollouts(root, index, store)
    _check_weights(measured, "tokenizer", index.tokenizer_sha256, "rollout")
    for method in index.methods:
        if method.name == STUDENT:
            _check_weights(measured, "worldgen", method.weights_sha256, "rollout")
    return measure_generation(rollouts, config.generation, statistics, network, progress)


def _check_weights(measured: Measured, part: str, found: str | None, stage: str) -> None:
    """Refuses to measure, as this model's, what other weights made."""
    expected = measured.model.parts.get(part)
    if expected is not None and found is not None and found != expected:
        what = f"what {stage} left was made by other {part} weights than the model's"
        raise DataError(what, expected=expected, got=found, fix=f"run the {stage} stage again")


def _scores(
    store: ClipStore, reconstruct: Path | None, index: RenderIndex | None, progress: Progress
) -> list[ClipScores]:
    scores: list[ClipScores] = []
    if reconstruct is None or index is None:
        return scores
    for done, entry in enumerate(index.clips):
        progress(done, len(index.clips))
        scores.append(_score(store, reconstruct, entry))
    progress(len(index.clips), len(index.clips))
    return scores


def _score(store: ClipStore, reconstruct: Path, entry: RenderedClip) -> ClipScores:
    row, clip = store.row(entry.clip_id), store.load(entry.clip_id)
    said = (entry.log_id, entry.source, entry.split)
    if said != (row["log_id"], row["source"], row["split"]):
        raise DataError(
            f"renders of clip {entry.clip_id} are of another preparation of the data",
            expected=f"log, source and split {row['log_id']}, {row['source']}, {row['split']}",
            got=", ".join(said),
            fix="run the reconstruct stage again",
        )
    _check_held_out(entry, row)
    check_frames(entry, clip)
    return score_clip(clip, entry, read_renders(reconstruct, entry, clip))


def _check_held_out(entry: RenderedClip, row: ClipRow) -> None:
    """Refuses to score frames that training may have read."""
    seen = sorted(set(entry.target_frames) - set(row["heldout_frames"])) if row["split"] == "train" else []
    if seen or entry.same_log != (row["split"] == "train"):
        raise DataError(
            f"clip {entry.clip_id} is of the {row['split']} split and cannot be measured as it was rendered",
            expected="clips of held-out logs; or held-out frames of a training log, marked same_log",
            got=f"same_log {entry.same_log}; target frames that training may read: {seen or 'none'}",
            fix="run the reconstruct stage again",
        )


def _left_out(
    scores: Sequence[ClipScores], groups: Sequence[Group], store: ClipStore, index: RenderIndex
) -> list[NotApplicable]:
    found = not_applicable(scores)
    unrendered = Counter((store.row(clip.clip_id)["source"], clip.reason) for clip in index.left_out)
    for (source, reason), n in sorted(unrendered.items()):
        what = f"{n} {'clip' if n == 1 else 'clips'} of {source}"
        found.append(NotApplicable(what=what, reason=reason, stage="reconstruct", source=source))
    if not scores:
        found.append(NotApplicable(what="evaluation", reason="reconstruct rendered no clip"))
    for group in groups:
        if group.same_log:
            reason = "its only log was also trained on (other frames), so its numbers say nothing of unseen logs"
            found.append(NotApplicable(what=f"held-out logs of {group.source}", reason=reason))
    return found


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
