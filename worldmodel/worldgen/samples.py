"""Which windows of which clips and cameras become samples, and which do not, with the reason. No torch here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from worldmodel.data.manifest import ClipRow, Split
from worldmodel.errors import DataError
from worldmodel.worldgen.tokenizer_config import TrainTokenizerConfig

_RATE_TOLERANCE = 0.01


@dataclass(frozen=True)
class LeftOut:
    """A clip, or one of its cameras, that became no sample; `camera` is None for all of them."""

    clip_id: str
    camera: str | None
    reason: str


@dataclass(frozen=True)
class SampleRow:
    """One camera over one window of a clip.

    Attributes:
        sample_id: `<clip_id>.<camera>.<start>`; it names files.
        start: first frame, as an index into the stored clip.
        frame_indices: the window's frames, as indices into the stored clip.
        split: `test` also for a clip whose held-out frames may not be trained on.
        same_log: such a clip: WorldGen saw nothing of it, but WorldRec trained on its other frames.
        tags: a token per tag key: 0 = unknown, i + 1 = the vocabulary's entry i.
        has_prior: there is a rendered prior of all its frames.
        has_ego: the ego's poses are known.
    """

    sample_id: str
    clip_id: str
    log_id: str
    source: str
    camera: str
    start: int
    frame_indices: tuple[int, ...]
    split: Split
    same_log: bool
    tags: tuple[int, ...]
    has_prior: bool = False
    has_ego: bool = False


@dataclass(frozen=True)
class Chosen:
    """What becomes samples, clip by clip in manifest order, and what does not."""

    samples: list[SampleRow]
    vocabulary: tuple[str, ...]
    left_out: list[LeftOut]


def choose_samples(rows: Sequence[ClipRow], config: TrainTokenizerConfig) -> Chosen:
    """Windows of the clips that can be used; whether they have a prior and poses is found out when they are encoded.

    Args:
        rows: of the clip manifest.
        config: length, rate, cameras and tags of samples.

    Raises:
        DataError: clips differ in image size, for a generator has one.
    """
    reasons = {row["clip_id"]: _unusable(row, config) for row in rows}
    left_out = [LeftOut(clip_id, None, reason) for clip_id, reason in reasons.items() if reason]
    usable = [row for row in rows if not reasons[row["clip_id"]]]
    _require_one_size(usable)
    vocabulary = _vocabulary([row for row in usable if _split(row) == "train"], config)
    samples: list[SampleRow] = []
    for row in usable:
        tags = _tokens(row, config.tag_keys, vocabulary)
        for camera in _wanted(row, config):
            if camera not in row["cameras"]:
                left_out.append(LeftOut(row["clip_id"], camera, "it has no such camera"))
                continue
            samples += [_sample(row, camera, window, tags) for window in _windows(row, config)]
    return Chosen(samples, vocabulary, left_out)


def _unusable(row: ClipRow, config: TrainTokenizerConfig) -> str:
    """Why a clip cannot become samples; empty if it can."""
    ratio = row["rate_hz"] / config.rate_hz
    if round(ratio) < 1 or abs(ratio / round(ratio) - 1) > _RATE_TOLERANCE:
        return f"its rate, {row['rate_hz']:g} Hz, is no multiple of {config.rate_hz:g} Hz"
    needed = (config.frames - 1) * round(ratio) + 1
    if row["n_frames"] < needed:
        return f"it has {row['n_frames']} frames, and a window spans {needed}"
    drawable = row["has_poses"] and (row["has_layout"] or row["has_boxes"])
    return (
        "" if row["has_layout_video"] or drawable else "it has no layout: no video of it, and nothing to draw it from"
    )


def _require_one_size(rows: Sequence[ClipRow]) -> None:
    for row in rows:
        if (row["height"], row["width"]) != (rows[0]["height"], rows[0]["width"]):
            raise DataError(
                f"clip {row['clip_id']} has images of another size",
                expected=f"{rows[0]['height']} x {rows[0]['width']} pixels, as clip {rows[0]['clip_id']}",
                got=f"{row['height']} x {row['width']}",
                fix="run the prepare stage again: it stores all images at prepare.height x prepare.width",
            )


def _split(row: ClipRow) -> Split:
    return "test" if row["heldout_frames"] else row["split"]


def _wanted(row: ClipRow, config: TrainTokenizerConfig) -> Sequence[str]:
    cameras = config.cameras if _split(row) == "train" else config.eval_cameras
    return cameras.get(row["source"], row["cameras"])


def _windows(row: ClipRow, config: TrainTokenizerConfig) -> list[range]:
    """Frames of each window: every `window_stride` for training, else the first alone."""
    step = round(row["rate_hz"] / config.rate_hz)
    span = (config.frames - 1) * step + 1
    starts = range(0, row["n_frames"] - span + 1, config.window_stride * step)
    return [range(start, start + span, step) for start in (starts if _split(row) == "train" else starts[:1])]


def _sample(row: ClipRow, camera: str, window: range, tags: tuple[int, ...]) -> SampleRow:
    return SampleRow(
        sample_id=f"{row['clip_id']}.{camera}.{window[0]:03d}",
        clip_id=row["clip_id"],
        log_id=row["log_id"],
        source=row["source"],
        camera=camera,
        start=window[0],
        frame_indices=tuple(window),
        split=_split(row),
        same_log=bool(row["heldout_frames"]),
        tags=tags,
    )


def _vocabulary(rows: Sequence[ClipRow], config: TrainTokenizerConfig) -> tuple[str, ...]:
    """`key=value` of every tag value seen, key by key, values sorted; or what a pretrained codec's generator knows."""
    if config.pretrained is not None and config.pretrained.vocabulary is not None:
        return config.pretrained.vocabulary
    keys, tags = config.tag_keys, [json.loads(row["tags"]) for row in rows]
    return tuple(f"{key}={value}" for key in keys for value in sorted({tag[key] for tag in tags if key in tag}))


def _tokens(row: ClipRow, keys: Sequence[str], vocabulary: Sequence[str]) -> tuple[int, ...]:
    tags = json.loads(row["tags"])
    names = [f"{key}={tags.get(key)}" for key in keys]
    return tuple(vocabulary.index(name) + 1 if name in vocabulary else 0 for name in names)


def apart(samples: Sequence[SampleRow]) -> list[SampleRow]:
    """Those samples that share no frame with one before them (in the list), for statistics that count a frame once."""
    seen: dict[tuple[str, str], int] = {}
    chosen = []
    for row in samples:
        place = row.clip_id, row.camera
        if row.start > seen.get(place, -1):
            seen[place] = row.frame_indices[-1]
            chosen.append(row)
    return chosen
