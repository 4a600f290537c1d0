import json
from dataclasses import asdict

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluation.generation.measure import measure_generation
from evaluation.generation.rollouts import methods_of, read_rollouts, videos_of
from evaluation.report import Statistics
from tests.evaluation.generation.toy import (
    PRESET,
    ToyVideoNetworks,
    edit_index,
    open_rollouts,
    slicing_of,
    write_rollouts,
)
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError
from worldmodel.worldgen.config import RolloutConfig
from worldmodel.worldgen.rollout import choose
from worldmodel.worldgen.samples import choose_samples
from worldmodel.worldgen.tokenizer_config import TrainTokenizerConfig


def test_true_and_made_frames_are_those_of_the_samples_camera(rollouts):
    sample = rollouts.index.samples[0]
    truth = rollouts.store.load(sample.clip_id).rgb[:, 0]
    np.testing.assert_array_equal(rollouts.true(sample), truth)
    np.testing.assert_array_equal(rollouts.made("repeat_last_frame", sample)[3], truth[0])


def test_the_digest_of_true_frames_tells_cameras_and_frames_apart(rollouts):
    sample = rollouts.index.samples[0]
    other = sample.model_copy(update={"camera": "right"})
    asked = [(sample, (1, 2, 3)), (sample, (2, 3)), (other, (1, 2, 3))]
    assert len({rollouts.true_digest(one, frames) for one, frames in asked}) == 3


def test_the_baseline_is_first_and_decoded_folders_are_no_methods(root):
    edit_index(root, lambda index: index["methods"].reverse())
    edit_index(root, lambda index: index["methods"].append({"name": "repeat_last_frame_tokenizer"}))
    names = [method.name for method in methods_of(read_rollouts(root))]
    assert names == ["repeat_last_frame", "dmd", "teacher_forcing_4step", "teacher_forcing"]
    assert videos_of("dmd") == ("dmd", "dmd")
    assert videos_of("repeat_last_frame") == ("repeat_last_frame", "repeat_last_frame_tokenizer")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda index: index["samples"][0].update(log_id="other"), "another preparation"),
        (lambda index: index["samples"][0].update(camera="rear"), "another preparation"),
        (lambda index: index["samples"][0].update(frame_indices=[3, 4, 5, 6, 7, 8, 9]), "another preparation"),
        (lambda index: index["samples"][0].update(same_log=True), "cannot be measured"),
        (lambda index: index["samples"][0].update(frame_indices=[0, 1, 2, 3, 4, 6, 5]), "frames of another rate"),
        (lambda index: index["samples"][0].update(frame_indices=[0, 0, 0, 0, 0, 0, 0]), "frames of another rate"),
        (lambda index: index.update(rate_hz=12.0), r"12 Hz(.|\n)*a clip of 10 Hz"),
        (lambda index: index["samples"][-1].update(role="generated"), r"training may read: \[5\]"),
    ],
)
def test_rollouts_that_would_make_false_numbers_are_refused(six, root, edit, words):
    edit_index(root, edit)
    rollouts = open_rollouts(root, six.prepare)
    with pytest.raises(DataError, match=words):
        for sample in rollouts.index.samples:
            rollouts.true(sample)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda index: index["samples"].append(index["samples"][0]), "a sample is named twice"),
        (lambda index: index["methods"].append(index["methods"][0]), "a method is named twice"),
        (lambda index: index["samples"][1]["frame_indices"].pop(), "frames of synthetic-001"),
        (lambda index: index.pop("rate_hz"), "rate_hz"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(root, edit, words):
    edit_index(root, edit)
    with pytest.raises(DataError, match=words):
        read_rollouts(root)


def test_a_missing_damaged_or_short_video_is_named(rollouts):
    sample = rollouts.index.samples[0]
    path = rollouts.root / "videos" / "dmd" / f"{sample.sample_id}.safetensors"
    save_file({"rgb": np.zeros((6, 24, 32, 3), np.uint8)}, path)
    with pytest.raises(DataError, match=r"tensor rgb(.|\n)*uint8 \[7, 24, 32, 3\](.|\n)*uint8 \[6"):
        rollouts.made("dmd", sample)
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=path.name):
        rollouts.made("dmd", sample)
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        rollouts.made("dmd", sample)


def test_a_source_of_one_log_beside_others_is_left_out_of_the_videos_and_said_so(write_measured, tmp_path):
    """From the manifest's rows through both choices to the measurement, which refused the whole rollout once."""
    of_one = {"log": "only", "source": "street", "split": "train", "same_log": True}
    prepare = write_measured(tmp_path, {"log": "t"}, {"log": "r", "split": "train"}, of_one).prepare
    store, root = ClipStore(prepare), write_rollouts(tmp_path / "rollout", prepare)
    rows = [store.row(clip_id) for clip_id in store.clip_ids()]
    for row in rows:  # the small clips have no layout, and the writer holds frames of every training clip out
        row.update(has_layout=True, heldout_frames=row["heldout_frames"] if row["source"] == "street" else [])
    chosen = choose_samples(rows, TrainTokenizerConfig(frames=5))
    choice = choose(chosen.samples, RolloutConfig(cameras={"synthetic": ("left",), "street": ("left",)}))
    assert {row.source for row in chosen.samples} == {"street", "synthetic"} and len(choice.generated) == 1
    made = {row.clip_id: asdict(row) for row in [*choice.generated, *choice.reference]}

    def as_chosen(index):
        index["samples"] = [sample for sample in index["samples"] if sample["clip_id"] in made]
        index["left_out"] = json.loads(json.dumps(choice.left_out))

    edit_index(root, as_chosen)
    rollouts = open_rollouts(root, prepare)
    statistics = Statistics(resamples=10, seed=0)
    found = measure_generation(rollouts, PRESET, slicing_of(rollouts), statistics, ToyVideoNetworks())
    assert [(group.source, group.same_log) for group in found.groups] == [("synthetic", False)]
    said = {item.what: item.reason for item in found.not_applicable if item.source == "street"}
    assert "no held-out log" in said["videos from 1 held-out clip of street"]
