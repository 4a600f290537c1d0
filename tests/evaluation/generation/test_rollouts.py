import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluation.generation.rollouts import methods_of, read_rollouts, videos_of
from tests.evaluation.generation.toy import edit_index, open_rollouts
from worldmodel.errors import DataError


def test_true_and_made_frames_are_those_of_the_samples_camera(rollouts):
    sample = rollouts.index.samples[0]
    truth = rollouts.store.load(sample.clip_id).rgb[:, 0]
    np.testing.assert_array_equal(rollouts.true(sample), truth)
    np.testing.assert_array_equal(rollouts.made("repeat_last_frame", sample)[3], truth[0])


def test_the_digest_of_true_frames_tells_cameras_and_frames_apart(rollouts):
    sample = rollouts.index.samples[0]
    other = sample.model_copy(update={"camera": "right"})
    later = sample.model_copy(update={"frame_indices": (0, 2, 3, 4, 5, 6, 6)})
    assert len({rollouts.true_digest(one) for one in (sample, other, later)}) == 3


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
        (lambda index: index["samples"][-1].update(role="generated"), r"training may read: \[3, 6\]"),
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
