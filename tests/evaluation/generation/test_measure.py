import numpy as np
import pytest

from evaluation.config import GenerationConfig
from evaluation.generation.measure import measure_generation
from evaluation.generation.network import FeatureNetwork, i3d
from evaluation.metrics.distance_intervals import METHOD
from evaluation.report import Statistics
from tests.evaluation.generation.toy import ToyFeatures, closed_network, edit_index, open_rollouts, toy_network
from worldmodel.errors import MissingDependencyError

STATISTICS, FOUR = Statistics(resamples=200, seed=0), GenerationConfig(min_logs=4)
KVD_TOK, PSNR = "video/kvd-tok@i3d-k400", "video/psnr"


@pytest.fixture
def group(rollouts):
    (found,) = measure_generation(rollouts, FOUR, STATISTICS, toy_network()).groups
    return found


def test_every_method_stands_beside_its_baseline_and_floors(group):
    assert [(m.name, m.role) for m in group.methods] == [
        ("true_frames", "floor"),
        ("tokenizer", "floor"),
        ("repeat_last_frame", "baseline"),
        ("teacher_forcing", "method"),
        ("teacher_forcing_4step", "method"),
        ("dmd", "method"),
    ]
    assert (group.n_clips, group.n_logs, group.n_reference_clips, group.n_reference_logs) == (6, 6, 5, 5)
    assert [m.id for m in group.method("true_frames").metrics] == ["video/fvd@i3d-k400", "video/kvd@i3d-k400"]
    assert len(group.method("dmd").metrics) == 5
    values = [group.metric(name, KVD_TOK).value for name in ("tokenizer", "dmd", "teacher_forcing_4step")]
    assert values[0] < values[1] < values[2]


def test_comparisons_are_paired_and_say_where_the_interval_covers_zero(group):
    dmd = group.metric("dmd", PSNR)
    assert set(dmd.against) == {"repeat_last_frame", "teacher_forcing_4step"}
    clear = dmd.against["teacher_forcing_4step"]
    assert clear.ci95.low > 0 and "better than teacher_forcing_4step on video/psnr" in clear.sentence
    assert "covers zero" not in clear.sentence
    assert set(group.metric("teacher_forcing", KVD_TOK).against) == {"repeat_last_frame"}
    assert group.metric("repeat_last_frame", KVD_TOK).against == {} == group.metric("tokenizer", PSNR).against


def test_no_difference_is_said_to_be_none(rollouts):
    for sample in rollouts.index.samples[:6]:
        folder = rollouts.root / "videos"
        same = folder / "dmd" / f"{sample.sample_id}.safetensors"
        (folder / "teacher_forcing_4step" / same.name).write_bytes(same.read_bytes())
    (group,) = measure_generation(rollouts, FOUR, STATISTICS, toy_network()).groups
    for metric_id in (KVD_TOK, PSNR):
        comparison = group.metric("dmd", metric_id).against["teacher_forcing_4step"]
        assert comparison.difference == 0.0 and "covers zero, so no difference is shown" in comparison.sentence
    assert "covers zero" in group.sentence


def test_too_few_logs_leave_psnr_and_a_reason_and_need_no_network(rollouts):
    found = measure_generation(rollouts, GenerationConfig(min_logs=6), STATISTICS, closed_network())
    (group,) = found.groups
    reason = "5 logs of reference clips, and a distance needs 6: no FVD claim"
    assert group.no_distances == reason and reason in group.sentence
    assert group.methods[0].name == "tokenizer"
    assert all([metric.id for metric in m.metrics] == [PSNR] for m in group.methods)
    assert [(n.what, n.reason) for n in found.not_applicable] == [("FVD and KVD of videos on synthetic", reason)]
    assert found.protocol.extractor is None


def test_clips_too_short_for_the_network_have_no_distance(rollouts):
    network = FeatureNetwork(7, closed_network().open)
    (group,) = measure_generation(rollouts, FOUR, STATISTICS, network).groups
    assert group.no_distances == "6 frames after the given one, and the feature network needs 7"


def test_missing_weights_are_an_error_and_never_a_gap(rollouts):
    class NoWeights(ToyFeatures):
        def cached(self, digest, load, name=""):
            raise MissingDependencyError("no weights", fix="worldmodel metrics fetch-weights")

    with pytest.raises(MissingDependencyError, match="fetch-weights"):
        measure_generation(rollouts, FOUR, STATISTICS, toy_network(NoWeights()))


def test_the_network_of_the_metrics_is_i3d_and_names_the_way_to_its_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDMODEL_METRICS_WEIGHTS", str(tmp_path / "nowhere"))
    network = i3d(tmp_path / "features")
    assert network.min_frames == 9 and network.open().identity.id == "i3d-k400"
    with pytest.raises(MissingDependencyError, match="worldmodel metrics fetch-weights"):
        network.open().cached("ab" * 32, lambda: np.zeros((9, 8, 8, 3), np.uint8))


def test_a_log_that_was_generated_from_is_no_reference(six, root):
    """A reference clip of a generated log is left out; here all of them are, so no distance remains."""

    def same_log(index):
        reference = [s for s in index["samples"] if s["role"] == "reference"]
        test = [s for s in index["samples"] if s["role"] == "generated"]
        for sample, other in zip(reference, test, strict=False):
            sample.update({key: other[key] for key in ("clip_id", "log_id", "split")})

    edit_index(root, same_log)
    (group,) = measure_generation(open_rollouts(root, six.prepare), FOUR, STATISTICS, closed_network()).groups
    assert group.n_reference_clips == 0 and "0 logs of reference clips" in group.no_distances


def test_what_was_left_out_is_listed_with_its_reason(six, root):
    left_out = [
        {"method": "ode", "reason": "no weights"},
        {"sample_id": "a.left.000", "reason": "max_samples is 2"},
        {"sample_id": "b.left.000", "reason": "max_samples is 2"},
        {"sample_id": "c.left.000", "source": "street", "reason": "one log"},
    ]
    edit_index(root, lambda index: index.update(left_out=left_out))
    found = measure_generation(open_rollouts(root, six.prepare), FOUR, STATISTICS, toy_network())
    assert [(n.what, n.reason) for n in found.not_applicable] == [
        ("method ode", "no weights"),
        ("videos from 2 held-out clips", "max_samples is 2"),
        ("videos from 1 held-out clip of street", "one log"),
    ]
    assert (found.not_applicable[-1].stage, found.not_applicable[-1].source) == ("rollout", "street")


def test_progress_ends_at_its_total(rollouts):
    seen = []
    measure_generation(rollouts, FOUR, STATISTICS, toy_network(), lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_the_protocol_names_the_network_and_the_data_digest_the_clips(six, root, rollouts):
    found = measure_generation(rollouts, FOUR, STATISTICS, toy_network())
    assert found.protocol.extractor == ToyFeatures.identity and found.protocol.measured_frames == 6
    edit_index(root, lambda index: index["samples"].pop())
    fewer = measure_generation(open_rollouts(root, six.prepare), FOUR, STATISTICS, toy_network())
    assert fewer.data_sha256 != found.data_sha256
    assert STATISTICS.distances == METHOD
