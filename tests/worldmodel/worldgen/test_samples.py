"""Which windows become samples, on manifest rows made by hand."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from worldmodel.data.manifest import ClipRow
from worldmodel.errors import DataError
from worldmodel.worldgen.samples import apart, choose_samples
from worldmodel.worldgen.tokenizer_config import TrainTokenizerConfig

CONFIG = TrainTokenizerConfig(frames=5, window_stride=3)


def row(clip_id: str, split: str = "train", tags: dict[str, str] | None = None, **changes: Any) -> ClipRow:
    fields: dict[str, Any] = {
        "clip_id": clip_id,
        "log_id": f"log-{clip_id}",
        "source": "hand",
        "split": split,
        "cameras": ["left", "front"],
        "n_frames": 8,
        "height": 16,
        "width": 24,
        "rate_hz": 10.0,
        "has_poses": True,
        "has_boxes": False,
        "has_layout": True,
        "has_layout_video": False,
        "heldout_frames": [],
        "tags": json.dumps(tags or {}),
    }
    return {**fields, **changes}  # type: ignore[typeddict-item]


def test_training_clips_give_a_window_every_stride_and_others_their_first() -> None:
    chosen = choose_samples([row("a"), row("b", "test"), row("c", "val")], CONFIG)
    assert chosen.left_out == []
    assert [(s.sample_id, s.split) for s in chosen.samples] == [
        ("a.left.000", "train"),
        ("a.left.003", "train"),
        ("a.front.000", "train"),
        ("a.front.003", "train"),
        ("b.left.000", "test"),
        ("b.front.000", "test"),
        ("c.left.000", "val"),
        ("c.front.000", "val"),
    ]
    assert chosen.samples[1].frame_indices == (3, 4, 5, 6, 7)
    assert not any(s.same_log for s in chosen.samples)
    assert [s.sample_id for s in apart(chosen.samples)[:2]] == ["a.left.000", "a.front.000"]


def test_a_faster_clip_is_decimated_and_its_window_spans_more_frames() -> None:
    chosen = choose_samples([row("fast", rate_hz=30.0, n_frames=22), row("short", rate_hz=30.0, n_frames=12)], CONFIG)
    assert [s.frame_indices for s in chosen.samples if s.camera == "left"] == [(0, 3, 6, 9, 12), (9, 12, 15, 18, 21)]
    assert [s.sample_id for s in chosen.samples if s.camera == "left"] == ["fast.left.000", "fast.left.009"]
    (left_out,) = chosen.left_out
    assert (left_out.clip_id, left_out.camera) == ("short", None)
    assert "12 frames" in left_out.reason and "13" in left_out.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rate_hz": 12.0}, "12 Hz, is no multiple of 10 Hz"),
        ({"rate_hz": 2.0}, "2 Hz, is no multiple"),
        ({"n_frames": 4}, "4 frames, and a window spans 5"),
        ({"has_poses": False}, "no layout"),
        ({"has_layout": False}, "no layout"),
    ],
)
def test_a_clip_that_cannot_be_used_is_left_out_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    chosen = choose_samples([row("bad", **changes), row("good")], CONFIG)
    assert {s.clip_id for s in chosen.samples} == {"good"}
    (left_out,) = chosen.left_out
    assert left_out.clip_id == "bad" and reason in left_out.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"has_poses": False, "has_layout": False, "has_layout_video": True},
        {"has_layout": False, "has_boxes": True},
        {"rate_hz": 9.95},
    ],
)
def test_a_layout_video_or_boxes_or_a_nearly_right_rate_will_do(changes: dict[str, Any]) -> None:
    assert choose_samples([row("a", **changes)], CONFIG).left_out == []


def test_a_clip_with_held_out_frames_is_never_trained_on() -> None:
    chosen = choose_samples([row("mixed", heldout_frames=[1, 2], tags={"weather": "snow"})], CONFIG)
    assert {(s.split, s.same_log, s.start) for s in chosen.samples} == {("test", True, 0)}
    assert chosen.vocabulary == ()


def test_cameras_are_chosen_by_source_for_training_and_for_the_rest() -> None:
    config = CONFIG.model_copy(update={"cameras": {"hand": ("front", "rear")}, "eval_cameras": {"hand": ("left",)}})
    rows = [row("a", n_frames=5), row("b", "test"), row("c", n_frames=5, source="other")]
    chosen = choose_samples(rows, config)
    assert [s.sample_id for s in chosen.samples] == ["a.front.000", "b.left.000", "c.left.000", "c.front.000"]
    assert [(item.clip_id, item.camera) for item in chosen.left_out] == [("a", "rear")]


def test_tags_are_tokens_of_the_training_vocabulary_and_0_where_unknown() -> None:
    rows = [
        row("a", tags={"weather": "rain", "time_of_day": "dusk"}),
        row("b", tags={"weather": "clear"}),
        row("c", "test", tags={"weather": "snow", "time_of_day": "dusk"}),
    ]
    chosen = choose_samples(rows, CONFIG)
    assert chosen.vocabulary == ("weather=clear", "weather=rain", "time_of_day=dusk")
    assert {s.clip_id: s.tags for s in chosen.samples} == {"a": (2, 3), "b": (1, 0), "c": (0, 3)}


def test_images_of_two_sizes_are_refused_and_the_clip_named() -> None:
    with pytest.raises(DataError, match=r"clip b has images of another size(.|\n)*16 x 24(.|\n)*32 x 24"):
        choose_samples([row("a"), row("b", height=32)], CONFIG)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"frames": 16}, "1 \\+ 4k"),
        ({"frames": 1}, "5 or more"),
        ({"codec": "wan", "frames": 5}, "wan.train.frames 9"),
        ({"wan": {"train": {"frames": 8}}}, "1 \\+ 4k"),
        ({"linear": {"spatial_stride": 7}}, "even"),
        ({"linear": {"channels": 193}}, "only 192"),
        ({"wan": {"architecture": {"temperal_downsample": [True, True, True]}}}, "twice"),
        ({"wan": {"architecture": {"dim_mult": [1, 2]}}}, "1 entries"),
        ({"lineal": {}}, "Extra inputs"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainTokenizerConfig.model_validate(section)
