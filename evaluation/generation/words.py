"""Numbers and comparisons of generated videos in words: the same in reports, tables and pictures."""

from evaluation.base import Interval
from evaluation.generation_report import STUDENT, GenerationGroup, VideoMetric
from evaluation.metrics.catalogue import KVD_TOK, VIDEO_PSNR


def short(value: float, sign: str = "-") -> str:
    """About three digits: distances run from a thousandth to thousands."""
    size = abs(value)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 or size == 0 else 3
    return f"{round(value, decimals) + 0.0:{sign}.{decimals}f}"


def comparison_sentence(
    names: tuple[str, str], metric: VideoMetric, difference: float, ci95: Interval | None, no_interval: str | None
) -> str:
    """How `names[0]` compares with `names[1]`; says so where the interval covers zero, or there is none."""
    ours, theirs = names
    unit = "" if metric.unit == "1" else f" {metric.unit}"
    better = (difference > 0) == (metric.direction == "up") and difference != 0
    text = f"{ours} is {short(abs(difference))}{unit} {'better' if better else 'worse'} than {theirs} on {metric.id} "
    if ci95 is None:
        return f"{text}(no interval: {no_interval})."
    bounds = f"difference {short(ci95.low, '+')} to {short(ci95.high, '+')}"
    if ci95.covers_zero:
        return f"{text}(95 % interval of the {bounds}: it covers zero, so no difference is shown)."
    return f"{text}(95 % interval of the {bounds})."


def leading_method(group: GenerationGroup) -> str | None:
    """The method that stands for the model: the student, else the last one; None where no model generated."""
    names = [method.name for method in group.methods if method.role == "method"]
    return STUDENT if STUDENT in names else names[-1] if names else None


def group_sentence(group: GenerationGroup) -> str:
    """What the student (or the last method) scores, and against what."""
    place = "same log: training saw other frames" if group.same_log else f"{group.split} split"
    name = leading_method(group)
    if name is None:
        return f"On {group.source} ({place}) no model generated anything."
    found = [group.metric(name, spec.id) for spec in (KVD_TOK, VIDEO_PSNR)]
    values = [f"{m.id} {short(m.value)}{_unit(m)}" for m in found if m is not None and m.value is not None]
    text = f"On {group.source} ({place}, {_count(group.n_clips, 'clip')} of {_count(group.n_logs, 'log')}) {name} "
    text += f"generates with {' and '.join(values) or 'no measured value'}."
    first = next((m for m in found if m is not None), None)
    sentences = [c.sentence for c in first.against.values()] if first is not None else []
    if group.no_distances is not None:
        sentences.append(f"Distances were not measured: {group.no_distances}.")
    return " ".join([text, *sentences])


def _unit(metric: VideoMetric) -> str:
    return "" if metric.unit == "1" else f" {metric.unit}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
