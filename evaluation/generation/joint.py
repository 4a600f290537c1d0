"""Measures of generated videos by what is known of the scene: cross-view, revisit, action following, seed spread."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.generation.rollouts import RolloutMethod, Rollouts, RolloutSample, Video
from evaluation.generation_report import TOKENIZER, TRUE_FRAMES
from evaluation.metrics.action import command
from evaluation.metrics.alignment import GivenView
from evaluation.metrics.catalogue import FOLLOWING, REVISIT, SEED_SPREAD, VIDEO_CROSS_VIEW, YAW_ERROR
from evaluation.metrics.cross_view import cross_view_psnr, shared_surfaces
from evaluation.metrics.revisit import revisit_psnr, revisits
from evaluation.metrics.spread import seed_spread
from evaluation.statistics import mean_over_clips
from worldmodel.data.correspondence import why_no_surfaces
from worldmodel.data.schema import Clip

Values = dict[str, dict[str, dict[str, float]]]
Measure = Callable[[Video], Mapping[str, float]]
Found = tuple[tuple[str, ...], Measure | str]
_ONE_SEED = "it was rolled out with one seed"
_ALONE = "no other camera was rolled out over the same frames of its clip"
_APART = "it shares no still surface with another camera that was rolled out"
_UNSEEN = "no later frame shows a still surface of the given one"
_ALL_MOVES = "nothing in it stands still"


@dataclass(frozen=True)
class JointMetrics:
    """What was found.

    Attributes:
        values: method name -> metric id -> sample id -> value, in the metric's unit, always finite. Beside the methods
            asked for there are `true_frames` (what the recorded frames score) and `tokenizer`. Which samples have a
            value is decided by the true clip and by what was rolled out, so it is the same for every method that has
            the metric; it may be fewer than all samples. A metric without any value is not there. Seed spread exists
            only for the method that was rolled out with more seeds.
        left_out: metric id -> reason -> the sample ids that have no value for it, in order.
    """

    values: Values = field(default_factory=dict)
    left_out: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, method: str, metric: str, sample: RolloutSample, value: float) -> None:
        self.values.setdefault(method, {}).setdefault(metric, {})[sample.sample_id] = value

    def leave_out(self, metrics: Sequence[str], sample: RolloutSample, reason: str) -> None:
        for metric in metrics:
            self.left_out.setdefault(metric, {}).setdefault(reason, []).append(sample.sample_id)


def joint_metrics(
    rollouts: Rollouts,
    methods: Sequence[RolloutMethod],
    samples: Sequence[RolloutSample],
    tick: Callable[[], None] = lambda: None,
) -> JointMetrics:
    """The joint measures of the generated samples of one group.

    Args:
        rollouts: the videos and the clips behind them.
        methods: to measure, without the floors; the true frames and those through the tokenizer are always measured.
        samples: generated ones, of any source; values are by sample.
        tick: called once a sample.

    Raises:
        DataError: videos that are missing, damaged or not of these clips.
    """
    joint, names = JointMetrics(), [TRUE_FRAMES, TOKENIZER, *(method.name for method in methods)]
    for sample in samples:
        clip = rollouts.clip(sample)
        videos = {name: _video(rollouts, name, sample) for name in names}
        for metrics, measure in _measures(clip, sample, videos[TRUE_FRAMES]):
            if isinstance(measure, str):
                joint.leave_out(metrics, sample, measure)
                continue
            for name, video in videos.items():
                for metric, value in measure(video).items():
                    joint.add(name, metric, sample, value)
        _add_cross_view(joint, rollouts, names, clip, (sample, _beside(sample, samples)))
        _add_spread(joint, rollouts, names, clip, sample)
        tick()
    return joint


def _video(rollouts: Rollouts, name: str, sample: RolloutSample) -> Video:
    return rollouts.true(sample) if name == TRUE_FRAMES else rollouts.made(name, sample)


def _measures(clip: Clip, sample: RolloutSample, truth: Video) -> Iterator[Found]:
    """The measures of a single video that the clip allows, each with the metrics that it gives, or why not."""
    reason, camera = why_no_surfaces(clip), clip.cameras.index(sample.camera)
    yield (REVISIT.id,), reason or _revisit(clip, camera)
    yield (FOLLOWING.id, YAW_ERROR.id), reason or _following(clip, camera, truth)


def _revisit(clip: Clip, camera: int) -> Measure | str:
    found = revisits(clip, camera)
    return (lambda video: {REVISIT.id: revisit_psnr(found, video)}) if found else _UNSEEN


def _following(clip: Clip, camera: int, truth: Video) -> Measure | str:
    assert clip.Ks is not None and clip.depth is not None and clip.dynamic is not None
    assert clip.world_from_camera is not None
    view = GivenView(clip.Ks[camera], clip.depth[0, camera], ~clip.dynamic[0, camera])
    asked = command(clip.world_from_camera[:, camera], clip.times_s, view, truth)
    if isinstance(asked, str):
        return asked
    return lambda video: dict(zip((FOLLOWING.id, YAW_ERROR.id), asked.errors(video), strict=True))


def _beside(sample: RolloutSample, samples: Sequence[RolloutSample]) -> list[RolloutSample]:
    """The other cameras over the same frames of the clip."""
    place = sample.clip_id, sample.frame_indices
    return [s for s in samples if (s.clip_id, s.frame_indices) == place and s.camera != sample.camera]


def _add_cross_view(
    joint: JointMetrics,
    rollouts: Rollouts,
    names: Sequence[str],
    clip: Clip,
    views: tuple[RolloutSample, Sequence[RolloutSample]],
) -> None:
    """The mean over generated frames of a sample's cross-view PSNR with the others."""
    sample, others = views
    reason = why_no_surfaces(clip) or (None if others else _ALONE)
    if reason is not None:
        joint.leave_out((VIDEO_CROSS_VIEW.id,), sample, reason)
        return
    camera, by_camera = clip.cameras.index(sample.camera), {clip.cameras.index(one.camera): one for one in others}
    found = {t: shared_surfaces(clip, t, camera, by_camera) for t in range(1, len(clip.rgb))}
    shared = {t: surfaces for t, surfaces in found.items() if surfaces}
    if not shared:
        joint.leave_out((VIDEO_CROSS_VIEW.id,), sample, _APART)
    for name in names if shared else ():
        video, beside = _video(rollouts, name, sample), {v: _video(rollouts, name, s) for v, s in by_camera.items()}
        values = [
            cross_view_psnr(surfaces, video[t], {v: other[t] for v, other in beside.items()})
            for t, surfaces in shared.items()
        ]
        joint.add(name, VIDEO_CROSS_VIEW.id, sample, mean_over_clips(values))


def _add_spread(
    joint: JointMetrics, rollouts: Rollouts, names: Sequence[str], clip: Clip, sample: RolloutSample
) -> None:
    """The spread of the method that has further seeds, where this sample has them."""
    spread = rollouts.index.spread
    if spread is None or spread.method not in names or sample.sample_id not in spread.sample_ids:
        joint.leave_out((SEED_SPREAD.id,), sample, _ONE_SEED)
        return
    if clip.dynamic is None:
        joint.leave_out((SEED_SPREAD.id,), sample, "no dynamic mask")
        return
    still = ~clip.dynamic[:, clip.cameras.index(sample.camera)]
    value = seed_spread(rollouts.of_seeds(spread.method, sample), still)
    if value is None:
        joint.leave_out((SEED_SPREAD.id,), sample, _ALL_MOVES)
    else:
        joint.add(spread.method, SEED_SPREAD.id, sample, value)
