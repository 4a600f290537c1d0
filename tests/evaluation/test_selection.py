import json

import pytest

from evaluation.generation.rollouts import RolloutIndex
from evaluation.protocols import GenerationPreset, Preset, ReconstructionPreset
from evaluation.renders import read_index
from evaluation.selection import select_renders, select_rollouts
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError

RULES = ReconstructionPreset(context_stride=5)
VIDEOS = GenerationPreset(rate_hz=10.0, window=6)
SAME_LOG = {"log": "street", "split": "train", "same_log": True}


def protocol(reconstruction=RULES, generation=VIDEOS, **fields):
    return Preset(name="some", says="", reconstruction=reconstruction, generation=generation, **fields)


@pytest.fixture
def renders_under(measured):
    """The logs that a protocol counts of these clips, and what it leaves out: {what: reason}."""

    def select(preset, *clips):
        paths = measured(*clips)
        index, left_out = select_renders(read_index(paths.reconstruct), ClipStore(paths.prepare), preset)
        assert {entry.stage for entry in left_out} <= {"reconstruct"}
        return [clip.log_id for clip in index.clips], {entry.what: entry.reason for entry in left_out}

    return select


def test_clips_of_another_split_do_not_count_but_held_out_frames_of_training_logs_do(renders_under):
    logs, left_out = renders_under(protocol(), {"log": "a"}, {"log": "b", "split": "val"}, SAME_LOG)
    assert logs == ["a", "street"]
    assert left_out == {"1 clip of synthetic": "the protocol some is of the test split"}


def test_a_protocol_of_a_dataset_counts_that_datasets_split_alone(renders_under):
    clips = [{"log": "a", "source": "waymo", "split": split} for split in ("val", "test")]
    published = protocol(dataset="waymo", split="val")
    logs, left_out = renders_under(published, *clips, {"log": "b", "split": "val"}, SAME_LOG | {"source": "waymo"})
    assert logs == ["a"]
    assert left_out == {
        "1 clip of synthetic": "the protocol some is of waymo",
        "2 clips of waymo": "the protocol some is of the val split",
    }


@pytest.mark.parametrize(
    ("preset", "reason"),
    [
        (protocol(cameras=("left", "right", "rear")), "no camera rear"),
        (protocol(height=48), "height 24, and the protocol some is of 48"),
        (protocol(width=48), "width 32, and the protocol some is of 48"),
        (protocol(ReconstructionPreset(context_stride=5, clip_frames=20)), "7 frames, and the protocol is of 20"),
        (
            protocol(ReconstructionPreset(context_stride=5, rate_hz=12.0)),
            "10 frames a second, and the protocol is of 12",
        ),
    ],
)
def test_a_clip_that_is_not_what_the_protocol_measures_is_left_out_with_the_reason(renders_under, preset, reason):
    assert renders_under(preset, {"log": "a"}, {"log": "b"}) == ([], {"2 clips of synthetic": reason})


def test_a_clip_that_is_what_the_protocol_measures_counts(renders_under):
    exact = ReconstructionPreset(context_stride=5, clip_frames=7, rate_hz=10.0)
    assert renders_under(protocol(exact, cameras=("left",), height=24, width=32), {"log": "a"}) == (["a"], {})


def test_a_protocol_without_reconstruction_counts_no_render(renders_under):
    assert renders_under(protocol(None), {"log": "a"}) == (
        [],
        {"reconstruction": "the protocol some measures none"},
    )


def test_renders_from_another_context_stride_are_refused(renders_under):
    with pytest.raises(DataError, match="another protocol") as caught:
        renders_under(protocol(ReconstructionPreset(context_stride=4)), {"log": "a"})
    assert (caught.value.expected, caught.value.got) == ("a context stride of 4 (some)", "5")


@pytest.mark.parametrize(
    "frames",
    [
        {"context_frames": [0, 5], "target_frames": [1]},
        {"context_frames": [0, 3, 5], "target_frames": [1, 2, 4, 6]},
    ],
)
def test_frames_of_ones_own_choice_are_refused(measured, frames):
    """Easy targets or more context under the protocol's name."""
    paths = measured({"log": "a"})
    index = json.loads((paths.reconstruct / "index.json").read_text())
    index["clips"][0] |= frames
    (paths.reconstruct / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="not rendered as the protocol says"):
        select_renders(read_index(paths.reconstruct), ClipStore(paths.prepare), protocol())


def sample(store, clip_id, camera, role):
    row = store.row(clip_id)
    place = {key: row[key] for key in ("clip_id", "log_id", "source", "split")}
    made = {"sample_id": f"{clip_id}.{camera}", "camera": camera, "frame_indices": (0, 1), "same_log": False}
    return place | made | {"role": role}


@pytest.fixture
def videos_under(measured):
    def select(preset, *chosen):
        clips = [{"log": "a"}, {"log": "b", "split": "val"}, {"log": "c", "split": "train"}]
        store = ClipStore(measured(*clips).prepare)
        samples = [sample(store, f"synthetic-{i:03d}", camera, role) for i, camera, role in chosen]
        place = {"frames": 2, "rate_hz": 10.0, "methods": (), "tokenizer_sha256": "c" * 64}
        index, left_out = select_rollouts(RolloutIndex(samples=samples, **place), store, preset)
        return [s.sample_id for s in index.samples], [(entry.what, entry.reason) for entry in left_out]

    return select


def test_videos_count_by_split_and_camera_and_references_by_camera_alone(videos_under):
    chosen = [(0, "left", "generated"), (0, "right", "generated"), (1, "left", "generated")]
    references = [(2, "left", "reference"), (2, "right", "reference")]
    kept, left_out = videos_under(protocol(cameras=("left",)), *chosen, *references)
    assert kept == ["synthetic-000.left", "synthetic-002.left"]
    assert left_out == [
        ("1 video of synthetic", "the protocol some has no camera right"),
        ("1 video of synthetic", "the protocol some is of the test split"),
    ]


def test_a_protocol_without_generation_counts_no_video(videos_under):
    kept, left_out = videos_under(protocol(generation=None), (0, "left", "generated"))
    assert (kept, left_out) == ([], [("generated videos", "the protocol some measures none")])
