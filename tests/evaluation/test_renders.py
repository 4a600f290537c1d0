import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from evaluation.renders import check_frames, read_index, read_renders
from worldmodel.data.shards import ClipStore
from worldmodel.errors import DataError


@pytest.fixture
def written(measured):
    """The written outputs, the index entry of their clip, and the clip."""
    paths = measured({"log": "a"})
    entry = read_index(paths.reconstruct).clips[0]
    return paths, entry, ClipStore(paths.prepare).load(entry.clip_id)


def test_what_was_written_is_read(written):
    paths, entry, clip = written
    renders = read_renders(paths.reconstruct, entry, clip)
    assert entry.context_frames == (0, 5) and entry.target_frames == (1, 2, 3, 4, 6)
    assert renders.rgb.shape == (5, 2, 24, 32, 3) and renders.depth.shape == (5, 2, 24, 32)


def _edit_index(paths, edit):
    path = paths.reconstruct / "index.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.pop("model_sha256"), "model_sha256: Field required"),
        (lambda c: c["clips"][0].pop("same_log"), r"clips\.0\.same_log: Field required"),
        (lambda c: c["clips"][0].pop("n_gaussians"), r"clips\.0\.n_gaussians: Field required"),
        (lambda c: c["clips"][0].update(target_frames=[]), r"clips\.0\.target_frames"),
        (lambda c: c["clips"].append(c["clips"][0]), "named twice"),
    ],
)
def test_a_broken_index_names_the_field(written, edit, words):
    _edit_index(written[0], edit)
    with pytest.raises(DataError, match=words):
        read_index(written[0].reconstruct)


def test_an_index_that_is_missing_or_not_json_is_named(written):
    path = written[0].reconstruct / "index.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"index\.json: not a readable index"):
        read_index(path.parent)
    path.unlink()
    with pytest.raises(DataError, match=r"index\.json: not a readable index"):
        read_index(path.parent)


def test_damaged_renders_are_named(written):
    paths, entry, clip = written
    path = paths.reconstruct / "renders" / f"{entry.clip_id}.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="renders cannot be read"):
        read_renders(paths.reconstruct, entry, clip)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.pop("depth"), "tensor depth"),
        (lambda t: t.update(rgb=t["rgb"].astype(np.float32)), "uint8"),
        (lambda t: t.update(rgb=t["rgb"][:3]), r"\[3, 2, 24, 32, 3\]"),
    ],
)
def test_renders_of_another_shape_or_type_are_refused(written, edit, words):
    paths, entry, clip = written
    path = paths.reconstruct / "renders" / f"{entry.clip_id}.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    with pytest.raises(DataError, match=words):
        read_renders(paths.reconstruct, entry, clip)


@pytest.mark.parametrize("frames", [{"target_frames": (1, 5)}, {"target_frames": (1, 9)}, {"target_frames": (1, 1)}])
def test_a_target_that_is_context_or_not_in_the_clip_is_refused(written, frames):
    _, entry, clip = written
    with pytest.raises(DataError, match="cannot be measured"):
        check_frames(entry.model_copy(update=frames), clip)
