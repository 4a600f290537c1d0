"""Which generated clips are shown and beside what: chosen by rule, from the worst to the best, never by taste."""

from collections.abc import Iterator
from dataclasses import dataclass

from evaluation.generation.psnr import psnr_by_frame
from evaluation.generation.rollouts import Rollouts, RolloutSample
from evaluation.generation_report import REPEAT, STUDENT, TEACHER, TOKENIZER, GenerationGroup
from evaluation.metrics.catalogue import VIDEO_PSNR
from evaluation.pictures.samples import rank_in_words
from evaluation.pictures.style import Pixels

TRUE = "true"
LABELS = {
    TRUE: "recorded",
    TOKENIZER: "recorded, through the tokenizer",
    TEACHER: "teacher forcing",
    STUDENT: "DMD",
    REPEAT: "first frame repeated",
}


@dataclass(frozen=True)
class Track:
    """One video [T, H, W, 3] of a film, under its name; `psnr` in dB over the measured frames, None for the truth."""

    name: str
    label: str
    video: Pixels
    psnr: float | None


@dataclass(frozen=True)
class Film:
    """One clip as it was recorded and as methods continued it, all of one length."""

    sample: RolloutSample
    rank: str
    tracks: tuple[Track, ...]


def leading_method(group: GenerationGroup) -> str | None:
    """The method that clips are ranked by: the student, else the last one; None where no model generated."""
    names = [method.name for method in group.methods if method.role == "method"]
    return STUDENT if STUDENT in names else names[-1] if names else None


def films_of(group: GenerationGroup, rollouts: Rollouts, count: int) -> list[Film]:
    """Up to `count` clips, evenly spaced by the leading method's PSNR from the worst to the best."""
    leading = leading_method(group)
    metric = None if leading is None else group.metric(leading, VIDEO_PSNR.id)
    if leading is None or metric is None:
        return []
    ranked = sorted(metric.per_clip, key=lambda clip: (clip.value, clip.sample_id))
    samples = {sample.sample_id: sample for sample in rollouts.index.samples}
    count = min(count, len(ranked))
    films = []
    for i in range(count):
        place = len(ranked) // 2 if count == 1 else round(i * (len(ranked) - 1) / (count - 1))
        sample = samples[ranked[place].sample_id]
        tracks = tuple(_tracks(group, rollouts, sample))
        films.append(Film(sample, rank_in_words(place, len(ranked)), tracks))
    return films


def _tracks(group: GenerationGroup, rollouts: Rollouts, sample: RolloutSample) -> Iterator[Track]:
    truth = rollouts.true(sample)
    yield Track(TRUE, LABELS[TRUE], truth, None)
    leading = leading_method(group)
    shown = [TOKENIZER, TEACHER, STUDENT, *([leading] if leading not in (TEACHER, STUDENT) else []), REPEAT]
    for name in shown:
        method = None if name is None else group.method(name)
        if method is not None:
            video, label = rollouts.made(method.name, sample), LABELS.get(method.name, method.name)
            if method.role == "method" and method.steps:
                label += f", {method.steps} {'step' if method.steps == 1 else 'steps'}"
            yield Track(method.name, label, video, float(psnr_by_frame(video, truth).mean()))
