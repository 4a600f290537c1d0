"""Which clips and frames are shown: chosen by rule, from the worst to the best, never by taste."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from evaluation.baselines import nearest_context_frame
from evaluation.generation_report import GenerationGroup
from evaluation.metrics.catalogue import PSNR
from evaluation.renders import RenderedClip, RenderIndex, Renders, read_renders
from evaluation.report import Group
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore

AnyGroup = TypeVar("AnyGroup", Group, GenerationGroup)


@dataclass(frozen=True)
class Sample:
    """A clip with its renders, and one target frame of it to look at (`position` in the target frames)."""

    clip: Clip
    entry: RenderedClip
    renders: Renders
    position: int
    rank: str

    @property
    def frame(self) -> int:
        return self.entry.target_frames[self.position]


def shown_groups(groups: Sequence[AnyGroup]) -> list[AnyGroup]:
    """One group a source, held-out ones first: the test split if measured, else val, else the same-log frames."""
    order = {"test": 0, "val": 1}
    best: dict[str, AnyGroup] = {}
    for group in sorted(groups, key=lambda g: (g.source, g.same_log, order.get(g.split, 2))):
        best.setdefault(group.source, group)
    return sorted(best.values(), key=lambda group: (group.same_log, group.source))


def samples_of(group: Group, index: RenderIndex, store: ClipStore, root: Path, count: int) -> list[Sample]:
    """Up to `count` clips of a group, evenly spaced by PSNR from the worst to the best."""
    ranked = ranked_clips(group)
    count = min(count, len(ranked))
    entries = {entry.clip_id: entry for entry in index.clips}
    samples = []
    for i in range(count):
        place = len(ranked) // 2 if count == 1 else round(i * (len(ranked) - 1) / (count - 1))
        entry = entries[ranked[place]]
        clip = store.load(entry.clip_id)
        renders, rank = read_renders(root, entry, clip), rank_in_words(place, len(ranked))
        samples.append(Sample(clip, entry, renders, entry.target_frames.index(middle_target(entry)), rank))
    return samples


def ranked_clips(group: Group) -> list[str]:
    """Clip ids from the lowest PSNR to the highest; a clip without a value comes first."""
    psnr = group.metric(PSNR.id)
    clips = () if psnr is None else psnr.per_clip
    return [c.clip_id for c in sorted(clips, key=lambda c: (-1.0 if c.value is None else c.value, c.clip_id))]


def middle_target(entry: RenderedClip) -> int:
    """The target frame to show: between context frames, as far from them as possible, nearest the clip's middle."""
    context, targets = entry.context_frames, entry.target_frames
    inner = [t for t in targets if min(context) < t < max(context)] or list(targets)
    middle = (min(inner) + max(inner)) / 2
    return min(inner, key=lambda t: (-abs(t - nearest_context_frame(t, context)), abs(t - middle), t))


def rank_in_words(place: int, n: int) -> str:
    """Where a clip stands among `n` that go from the worst to the best."""
    if n == 1:
        return "the only clip"
    return {0: "worst clip", n - 1: "best clip"}.get(place, f"clip {place + 1} of {n} from the worst")
