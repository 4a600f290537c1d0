import pytest

from evaluation.config import EvaluateConfig
from evaluation.pictures.samples import middle_target, ranked_clips, samples_of, shown_groups
from evaluation.renders import RenderedClip, read_index
from evaluation.suite import evaluate
from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.data.shards import ClipStore


@pytest.mark.parametrize(("n_frames", "shown"), [(20, 7), (3, 1), (7, 2)])
def test_the_frame_shown_is_between_context_frames_and_far_from_them(n_frames, shown):
    frames = {"context_frames": context_frames(n_frames, 5), "target_frames": target_frames(n_frames, 5)}
    entry = RenderedClip(clip_id="c", log_id="l", source="s", split="test", same_log=False, n_gaussians=9, **frames)
    assert middle_target(entry) == shown


def test_samples_go_from_the_worst_clip_to_the_best(measured):
    noise = [0.05, 0.4, 0.1, 0.2, 0.3]
    paths = measured(*({"log": f"log-{i}", "noise": value} for i, value in enumerate(noise)))
    group = evaluate(paths, EvaluateConfig(protocol="debug", bootstrap_resamples=100), 0).groups[0]
    assert ranked_clips(group) == [f"synthetic-00{i}" for i in (1, 4, 3, 2, 0)]
    samples = samples_of(group, read_index(paths.reconstruct), ClipStore(paths.prepare), paths.reconstruct, 3)
    assert [(sample.clip.clip_id, sample.rank) for sample in samples] == [
        ("synthetic-001", "worst clip"),
        ("synthetic-003", "clip 3 of 5 from the worst"),
        ("synthetic-000", "best clip"),
    ]
    (only,) = samples_of(group, read_index(paths.reconstruct), ClipStore(paths.prepare), paths.reconstruct, 1)
    assert only.clip.clip_id == "synthetic-003"


def test_a_source_is_shown_by_its_test_split_and_held_out_sources_come_first(make_report):
    report = make_report(same_log=("dgp_street",), dgp_street={"image/psnr": [20.0]}, synthetic={"image/psnr": [20.0]})
    val = make_report(split="val", synthetic={"image/psnr": [30.0]}).groups
    both = report.model_copy(update={"groups": (*val, *report.groups)})
    assert [(group.source, group.split) for group in shown_groups(both.groups)] == [
        ("synthetic", "test"),
        ("dgp_street", "train"),
    ]


def test_a_clip_without_a_value_counts_as_the_worst(make_report):
    group = make_report(synthetic={"image/psnr": [20.0, None, 19.0]}).groups[0]
    assert ranked_clips(group) == ["c1", "c2", "c0"]
