"""The stage train_tokenizer, and reading what it wrote, on a small prepared artifact with a source of a single log."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from flows.checks.verdict import VERDICT_SCHEMA
from flows.manifest import write_manifest
from flows.stage import Stage
from flows.stages import train_tokenizer
from worldmodel.data.config import PrepareConfig
from worldmodel.data.layout import layout_of
from worldmodel.data.prepare import prepare
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore
from worldmodel.data.synthetic.config import SyntheticConfig
from worldmodel.data.synthetic.source import SyntheticSource
from worldmodel.errors import DataError, ParamsError, Preempted, UnfitDataError
from worldmodel.worldgen.codec.files import load_codec
from worldmodel.worldgen.latents import LatentStore
from worldmodel.worldgen.tokenizer_config import TrainTokenizerConfig

WORLD = SyntheticConfig(logs=4, clips_per_log=1, frames=7, height=16, width=24)
LINEAR: dict[str, Any] = {"frames": 5, "window_stride": 2, "linear": {"channels": 4, "spatial_stride": 8}}
ARCHITECTURE = {"base_dim": 4, "z_dim": 2, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
WAN: dict[str, Any] = {
    "codec": "wan",
    "frames": 5,
    "window_stride": 2,
    "cameras": {"synthetic": ["front"]},
    "eval_cameras": {"synthetic": ["front"], "one_drive": []},
    "wan": {
        "architecture": ARCHITECTURE,
        "train": {"steps": 3, "warmup": 1, "frames": 5, "image_batch": 2, "image_share": 0.4, "log_every": 1},
    },
}


class OneDrive:
    """A source with a single log, so that frames of it are held out."""

    name, licence = "one_drive", "MIT"

    def digest(self) -> str:
        return hashlib.sha256(b"one drive").hexdigest()

    def log_ids(self) -> list[str]:
        return ["one_drive-0"]

    def read_log(self, log_id: str) -> list[Clip]:
        from dataclasses import replace

        clip = SyntheticSource(WORLD.model_copy(update={"logs": 1}), 5).read_log("synthetic-0000")[0]
        return [replace(clip, clip_id="one_drive-0-000", log_id=log_id, source=self.name, licence=self.licence)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with finished prepare, validate and render_priors stages; one clip has a prior of one camera."""
    root = tmp_path_factory.mktemp("workspace")
    out = root / "artifacts/prepare"
    out.mkdir(parents=True)
    (root / "parts").mkdir()
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    config = PrepareConfig.model_validate({"height": 16, "width": 24, "workers": 1, "split": split, "synthetic": WORLD})
    prepare([SyntheticSource(WORLD, 0), OneDrive()], config, 0, out, root / "parts")
    write_manifest(out, "prepare")
    judge(root, fit=True)
    priors = root / "artifacts/render_priors"
    (priors / "priors").mkdir(parents=True)
    clip_id = ClipStore(out).clip_ids("train", "synthetic")[0]
    entry = {"clip_id": clip_id, "cameras": ["front"]}
    (priors / "index.json").write_text(json.dumps({"schema_version": 1, "clips": [entry]}))
    rgb = torch.full((7, 1, 16, 24, 3), 200, dtype=torch.uint8)
    alpha = torch.zeros(7, 1, 16, 24, dtype=torch.uint8)
    alpha[:, :, :8, :8] = 255
    save_file({"rgb": rgb, "alpha": alpha}, priors / "priors" / f"{clip_id}.safetensors")
    write_manifest(priors, "render_priors")
    return root


def judge(root: Path, fit: bool) -> None:
    out = root / "artifacts/validate"
    out.mkdir(exist_ok=True)
    verdict = {"schema_version": VERDICT_SCHEMA, "success": fit, "errors": {"clips": "not today"}, "suites": []}
    (out / "verdict.json").write_text(json.dumps(verdict))
    write_manifest(out, "validate")


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(prepared, tmp_path / "workspace"))


def open_stage(root: Path, params: dict[str, Any]) -> Stage[Any]:
    name = "train_tokenizer"
    shutil.rmtree(root / "artifacts" / name, ignore_errors=True)
    directories = [root / "artifacts" / name, root / "run" / name, root / "resume" / name]
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
    return Stage(name, TrainTokenizerConfig.model_validate(params), 0, 1, root, *directories)


def encode(root: Path, params: dict[str, Any] = LINEAR) -> Path:
    """Runs the stage with an empty resume directory."""
    shutil.rmtree(root / "resume", ignore_errors=True)
    return go_on(root, params)


def go_on(root: Path, params: dict[str, Any] = LINEAR) -> Path:
    stage = open_stage(root, params)
    train_tokenizer.run(stage)
    return stage.out


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def encoded(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the linear tokenizer's output; not to be changed."""
    root = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("encoded") / "workspace"))
    encode(root)
    return root


def test_every_sample_is_stored_with_what_steers_it(encoded: Path) -> None:
    out, clips = encoded / "artifacts/train_tokenizer", ClipStore(encoded / "artifacts/prepare")
    store, codec = LatentStore(out), load_codec(out / "tokenizer")
    assert (store.latent_shape, store.n_latent_frames, store.image_size) == ((4, 2, 3), 2, (16, 24))
    assert len(store.select("train")) == 2 * 3 * 2  # clips, cameras, windows
    assert len(store.select("val")) == 3
    assert len(store.select("test", ["synthetic"])) == 3
    assert set(store.index.psnr) == {"train", "val", "test", "same_log"}
    assert all(value > 10 for value in store.index.psnr.values())
    assert {p.stem for p in (out / "latents").iterdir()} == {row.sample_id for row in store.rows}
    for row in (store.select("train")[1], store.select("test")[0]):
        batch = store.load([row])
        clip = clips.load(row.clip_id)
        camera = clip.cameras.index(row.camera)
        frames = torch.from_numpy(clip.rgb[list(row.frame_indices), camera]).float()[None] / 255
        assert torch.allclose(batch.z, codec.encode(frames), atol=1e-5)
        assert torch.equal(batch.conditions.first, batch.z[:, 0])
        layout = layout_of(clip, camera, row.frame_indices)
        assert layout is not None
        assert np.array_equal(batch.conditions.layout[0, 1].numpy(), layout[1:])
        assert np.array_equal(batch.conditions.layout[0, 0].numpy(), layout[[0, 0, 0, 0]])
        assert batch.conditions.ego[0, :, 5].tolist() == [1, 1] and row.has_ego
        assert batch.conditions.keep.tolist() == [[True] * 4]
        assert batch.conditions.tags.shape == (1, 2)
    stacked = store.load(store.rows[:3])
    assert stacked.z.shape == (3, 2, 4, 2, 3) and len(stacked.conditions) == len(stacked) == 3


def test_a_rendered_prior_is_encoded_after_the_true_first_frame_and_others_are_empty(encoded: Path) -> None:
    store = LatentStore(encoded / "artifacts/train_tokenizer")
    with_prior = [row for row in store.rows if row.has_prior]
    assert {row.camera for row in with_prior} == {"front"} and len(with_prior) == 2
    steers = store.load(with_prior).conditions
    assert steers.prior_alpha[0].tolist() == [[[0] * 3] * 2, [[1, 0, 0], [0, 0, 0]]]
    assert torch.allclose(steers.prior[:, 0], steers.first, atol=1e-5)
    codec = load_codec(encoded / "artifacts/train_tokenizer/tokenizer")
    assert torch.allclose(steers.prior[0, 1], codec.encode(torch.full((1, 5, 16, 24, 3), 200 / 255))[0, 1], atol=1e-5)
    others = store.load([row for row in store.rows if not row.has_prior]).conditions
    assert not others.prior.any() and not others.prior_alpha.any()


def stop_at(root: Path, unit: str) -> Stage[Any]:
    """A stage that is told to stop at its first progress in `unit`, and did."""
    stage = open_stage(root, LINEAR)

    def progress(done: int, total: int, what: str) -> None:
        stage.stop_requested = what == unit

    stage.progress = progress  # type: ignore[method-assign]
    with pytest.raises(Preempted):
        train_tokenizer.run(stage)
    return stage


def test_twice_gives_the_same_bytes_and_so_do_stops_in_the_fit_and_between_clips(
    encoded: Path, workspace: Path
) -> None:
    stage = stop_at(workspace, "samples fitted")
    assert list(stage.resume_dir.iterdir()) == []
    stop_at(workspace, "samples")
    assert len(list((stage.resume_dir / "clips").iterdir())) == 1
    assert contents(go_on(workspace)) == contents(encoded / "artifacts/train_tokenizer")


def test_frames_that_may_not_be_trained_on_give_test_samples_and_leave_the_tokenizer_alone(
    encoded: Path, workspace: Path
) -> None:
    store = LatentStore(encoded / "artifacts/train_tokenizer")
    same_log = [row for row in store.rows if row.source == "one_drive"]
    assert {(row.split, row.same_log, row.start) for row in same_log} == {("test", True, 0)}
    for shard in (workspace / "artifacts/prepare/shards").glob("*.tar"):
        data = bytearray(shard.read_bytes())
        rows = ClipStore(workspace / "artifacts/prepare")
        row = rows.row("one_drive-0-000")
        if shard.name == row["shard"]:
            data[row["offset"] : row["offset"] + row["byte_size"]] = bytes(row["byte_size"])
            shard.write_bytes(data)
    with pytest.raises(DataError, match="one_drive-0-000"):
        encode(workspace)
    kept = workspace / "resume/train_tokenizer/tokenizer/tokenizer.safetensors"
    assert kept.read_bytes() == (encoded / "artifacts/train_tokenizer/tokenizer/tokenizer.safetensors").read_bytes()


def test_data_that_were_found_unfit_are_not_fitted_on(workspace: Path) -> None:
    judge(workspace, fit=False)
    with pytest.raises(UnfitDataError, match="not today"):
        encode(workspace)


def test_without_a_training_sample_the_stage_is_not_applicable_and_says_why(workspace: Path) -> None:
    out = encode(workspace, LINEAR | {"frames": 9})
    assert list(contents(out)) == ["not_applicable.json"]
    record = json.loads((out / "not_applicable.json").read_text())
    assert "train split" in record["reason"]
    assert {item["reason"] for item in record["left_out"]} == {"it has 7 frames, and a window spans 9"}
    with pytest.raises(DataError, match="no usable index of latents"):
        LatentStore(out)


def test_the_learned_codec_trains_stops_and_goes_on_to_the_same_bytes(workspace: Path) -> None:
    whole = contents(encode(workspace, WAN))
    index = json.loads(whole["index.json"])
    assert index["codec"] == "wan" and index["latent_shape"] == [2, 2, 3]
    metrics = [json.loads(line) for line in (workspace / "run/train_tokenizer/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics if "l1" in line["values"]] == [1, 2, 3]
    z = LatentStore(workspace / "artifacts/train_tokenizer")
    assert bool(z.load(z.select("train")).z.isfinite().all())
    shutil.rmtree(workspace / "resume")
    stage = open_stage(workspace, WAN)
    stage.progress = lambda done, total, unit: setattr(stage, "stop_requested", done == 2)  # type: ignore[method-assign]
    with pytest.raises(Preempted):
        train_tokenizer.run(stage)
    assert contents(go_on(workspace, WAN)) == whole


@pytest.mark.parametrize("damage", ["cut", "missing", "another shape"])
def test_a_damaged_sample_is_named(damage: str, encoded: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(encoded / "artifacts/train_tokenizer", tmp_path / "copy"))
    store = LatentStore(out)
    path = out / "latents" / f"{store.rows[0].sample_id}.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "missing":
        path.unlink()
    else:
        save_file({**load_file(path), "ego": torch.zeros(2, 5)}, path)
    with pytest.raises(DataError, match=path.name):
        store.load(store.rows[:1])


def test_samples_stay_in_memory_up_to_the_limit(encoded: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(encoded / "artifacts/train_tokenizer", tmp_path / "copy"))
    store, forgetful = LatentStore(out), LatentStore(out, cache_bytes=0)
    rows = store.rows[:2]
    first = store.load(rows)
    assert torch.equal(forgetful.load(rows).z, first.z)
    shutil.rmtree(out / "latents")
    assert torch.equal(store.load(rows).z, first.z)
    with pytest.raises(DataError, match="cannot be read"):
        forgetful.load(rows)


def test_an_index_of_another_schema_version_is_refused(encoded: Path, tmp_path: Path) -> None:
    index = json.loads((encoded / "artifacts/train_tokenizer/index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"schema_version": 2}))
    with pytest.raises(DataError, match=r"index.json(.|\n)*schema_version 1"):
        LatentStore(tmp_path)


def registered(encoded: Path, workspace: Path, **more: Any) -> dict[str, Any]:
    """Params that take another run's tokenizer, which lies in the workspace."""
    folder = shutil.copytree(encoded / "artifacts/train_tokenizer/tokenizer", workspace / "artifacts/registered")
    sha256 = hashlib.sha256((folder / "tokenizer.safetensors").read_bytes()).hexdigest()
    return LINEAR | {"pretrained": {"folder": "artifacts/registered", "sha256": sha256, **more}}


def test_a_pretrained_codec_is_taken_as_it_is_and_nothing_is_fitted(encoded: Path, workspace: Path) -> None:
    params = registered(encoded, workspace)
    fitted_to_other_sizes = params | {"linear": {"channels": 9, "spatial_stride": 2}}
    assert contents(encode(workspace, fitted_to_other_sizes)) == contents(encoded / "artifacts/train_tokenizer")


def test_tags_mean_what_the_generator_of_the_pretrained_codec_learned(encoded: Path, workspace: Path) -> None:
    seen = LatentStore(encoded / "artifacts/train_tokenizer")
    weather = next(entry for entry in seen.vocabulary if entry.startswith("weather="))
    vocabulary = ["time_of_day=never", weather]
    store = LatentStore(encode(workspace, registered(encoded, workspace, vocabulary=vocabulary)))
    assert store.vocabulary == tuple(vocabulary)
    before = {row.sample_id: row.tags[0] for row in seen.rows}
    known = 1 + seen.vocabulary.index(weather)
    assert {row.tags for row in store.rows} <= {(0, 0), (2, 0)}  # no time of day is `never`
    assert all((row.tags[0] == 2) == (before[row.sample_id] == known) for row in store.rows)


def test_with_a_pretrained_codec_no_training_sample_is_needed(encoded: Path, workspace: Path) -> None:
    without = {"cameras": {"synthetic": [], "one_drive": []}}
    out = encode(workspace, registered(encoded, workspace) | without)
    store = LatentStore(out)
    assert not store.select("train") and len(store.select("test", ["synthetic"])) == 3
    assert "not_applicable.json" in contents(encode(workspace, LINEAR | without))


def test_a_pretrained_codec_is_there_even_where_no_clip_can_become_a_sample(encoded: Path, workspace: Path) -> None:
    found = contents(encode(workspace, registered(encoded, workspace) | {"frames": 9}))
    assert set(found) == {"not_applicable.json", "tokenizer/config.json", "tokenizer/tokenizer.safetensors"}
    assert json.loads(found["not_applicable.json"])["reason"] == (
        "no clip can become a sample: it has 7 frames, and a window spans 9 (5 of them); see left_out"
    )


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"sha256": "0" * 64}, DataError, "not the tokenizer that train_tokenizer.pretrained names"),
        ({"folder": "artifacts/nowhere"}, DataError, "no such file"),
        ({"codec": "wan"}, ParamsError, "expected: linear(.|\n)*got: wan"),
    ],
)
def test_another_tokenizer_than_the_params_name_is_refused(
    change: dict[str, Any], error: type[Exception], said: str, encoded: Path, workspace: Path
) -> None:
    params = registered(encoded, workspace)
    params |= {"codec": change["codec"], "wan": WAN["wan"]} if "codec" in change else {}
    params["pretrained"] |= {key: value for key, value in change.items() if key != "codec"}
    with pytest.raises(error, match=said):
        encode(workspace, params)


def test_two_pretrained_codecs_are_one_too_many() -> None:
    taken = {"folder": "a", "sha256": "0" * 64}
    with pytest.raises(ValidationError, match="give one of them"):
        TrainTokenizerConfig.model_validate(WAN | {"pretrained": taken, "wan": {**WAN["wan"], "pretrained": "b"}})
