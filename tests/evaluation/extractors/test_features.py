import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.extractors.features import ImageFeatures, Video, VideoFeatures
from evaluation.extractors.i3d import I3D
from evaluation.extractors.weights import I3D_K400
from worldmodel.errors import DataError, MissingDependencyError

DIGEST = hashlib.sha256(b"a video").hexdigest()


class Counting(torch.nn.Module):
    """Stands in for the network: the number of the call, 400 times."""

    calls = 0

    def forward(self, videos: Tensor) -> Tensor:
        self.calls += 1
        return torch.full((1, 400), float(self.calls))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def counting(tmp_path: Path, said: list[str]) -> VideoFeatures:
    """Features by the stand-in."""
    features = VideoFeatures(tmp_path, say=said.append)
    features.__dict__["_network"] = Counting()
    return features


def video(frames: int = 9) -> Video:
    return np.random.default_rng(0).integers(0, 256, (frames, 4, 6, 3), dtype=np.uint8)


def never() -> Video:
    raise AssertionError("loaded again")


def entry(directory: Path) -> Path:
    (path,) = directory.rglob(f"{DIGEST}.safetensors")
    return path


def test_features_are_the_logits_of_the_squashed_video(tmp_path: Path, network: I3D) -> None:
    """A white video becomes ones everywhere."""
    features = VideoFeatures(tmp_path).features(np.full((9, 4, 6, 3), 255, np.uint8))
    with torch.inference_mode():
        expected = network(torch.ones(1, 3, 9, 224, 224))[0]
    assert features.dtype == np.float64 and features.shape == (400,)
    assert features == pytest.approx(expected.numpy(), abs=1e-3)


def test_autocast_and_tf32_of_the_caller_are_put_aside_and_given_back(counting: VideoFeatures) -> None:
    found = []

    class Looks(Counting):
        def forward(self, videos: Tensor) -> Tensor:
            found.append((torch.is_autocast_enabled("cpu"), torch.backends.cudnn.allow_tf32))
            return super().forward(videos)

    counting.__dict__["_network"] = Looks()
    before = torch.backends.cudnn.allow_tf32
    with torch.autocast("cpu", torch.bfloat16):
        counting.features(video())
        assert torch.is_autocast_enabled("cpu")
    assert found == [(False, False)] and torch.backends.cudnn.allow_tf32 == before


def test_a_clip_that_is_too_short_is_named_with_the_least_and_what_it_has(counting: VideoFeatures) -> None:
    with pytest.raises(DataError, match=r"log7\.front: too short for i3d-k400") as caught:
        counting.features(video(8), "log7.front")
    assert (caught.value.expected, caught.value.got) == ("at least 9 frames", "8")
    assert counting.min_frames == 9


@pytest.mark.parametrize("wrong", [np.zeros((9, 4, 6, 3), np.float32), np.zeros((9, 4, 6), np.uint8)])
def test_what_is_no_video_is_refused(counting: VideoFeatures, wrong: Video) -> None:
    with pytest.raises(DataError, match="not images"):
        counting.features(wrong)


def test_a_cached_video_is_neither_loaded_nor_computed_again(counting: VideoFeatures, tmp_path: Path) -> None:
    first = counting.cached(DIGEST, video)
    again = VideoFeatures(tmp_path, weights=tmp_path / "none").cached(DIGEST, never)
    assert first.tolist() == again.tolist() == [1.0] * 400
    assert counting.cached(hashlib.sha256(b"another").hexdigest(), video)[0] == 2.0


def test_another_extractor_does_not_use_the_entry(counting: VideoFeatures, tmp_path: Path) -> None:
    counting.cached(DIGEST, video)
    other = VideoFeatures(tmp_path, preprocess="short224-centercrop")
    other.__dict__["_network"] = Counting()
    with pytest.raises(AssertionError, match="loaded again"):
        other.cached(DIGEST, never)


def test_features_of_another_version_of_the_metrics_are_not_used(
    counting: VideoFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting.cached(DIGEST, video)
    monkeypatch.setattr("evaluation.extractors.feature_cache.METRICS_VERSION", 0)
    with pytest.raises(AssertionError, match="loaded again"):
        VideoFeatures(tmp_path).cached(DIGEST, never)


@pytest.mark.parametrize("damage", ["cut", "flipped", "of another video"])
def test_a_damaged_entry_is_computed_again_and_said(
    counting: VideoFeatures, tmp_path: Path, said: list[str], damage: str
) -> None:
    counting.cached(DIGEST, video)
    path = entry(tmp_path)
    content = path.read_bytes()
    if damage == "of another video":
        other = hashlib.sha256(b"another").hexdigest()
        counting.cached(other, video)
        content = path.with_name(f"{other}.safetensors").read_bytes() + b"\0"
    path.write_bytes(content[:-1] if damage != "flipped" else content[:-1] + b"\1")
    calls = 3 if damage == "of another video" else 2
    assert counting.cached(DIGEST, video)[0] == calls
    assert len(said) == 1 and f"{DIGEST}.safetensors is damaged and computed again" in said[0]
    assert counting.cached(DIGEST, never)[0] == calls


def test_a_digest_that_could_leave_the_cache_is_refused(counting: VideoFeatures) -> None:
    with pytest.raises(ValueError, match="not hexadecimal"):
        counting.cached("../" * 6, video)


def test_without_weights_nothing_stands_in(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="worldmodel metrics fetch-weights"):
        VideoFeatures(tmp_path, weights=tmp_path).features(video())


def test_the_identity_says_where_the_network_is_from_and_how_it_is_fed(tmp_path: Path) -> None:
    identity = VideoFeatures(tmp_path).identity
    assert (identity.id, identity.layer, identity.dims, identity.kind) == ("i3d-k400", "logits", 400, "canonical")
    assert (identity.file_sha256, identity.tensor_fingerprint) == (I3D_K400.sha256, I3D_K400.tensor_fingerprint)
    assert identity.input == "squash224, [-1, 1]"
    assert identity.model_copy(update={"layer": "pool"}).fingerprint != identity.fingerprint


def test_images_have_a_row_each_and_are_kept_like_videos(tmp_path: Path) -> None:
    class Means(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((1, 2, 3))[:, None].repeat(1, 2048)

    features = ImageFeatures(tmp_path)
    features.__dict__["_network"] = Means()
    frames = np.repeat(np.arange(6, dtype=np.uint8) * 32, 4 * 6 * 3).reshape(6, 4, 6, 3)
    rows = features.cached(DIGEST, lambda: frames)
    assert rows.shape == (6, 2048) and rows[:, 7] == pytest.approx((np.arange(6) * 32 - 128) / 128)
    again = ImageFeatures(tmp_path, weights=tmp_path / "none").cached(DIGEST, never)
    assert np.array_equal(rows, again)


def test_of_one_digest_videos_and_images_have_features_of_their_own(counting: VideoFeatures, tmp_path: Path) -> None:
    counting.cached(DIGEST, video)
    with pytest.raises(AssertionError, match="loaded again"):
        ImageFeatures(tmp_path).cached(DIGEST, never)
