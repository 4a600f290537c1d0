"""Which frames a step may touch, and that it depends on nothing but seed and step."""

import collections
import dataclasses

import pytest
import torch

from worldmodel.errors import DataError
from worldmodel.worldrec.config import TrainConfig
from worldmodel.worldrec.tasks import protocol_task, training_task
from worldmodel.worldrec.views import ClipTensors


def test_a_task_is_a_function_of_seed_and_step(clips: list[ClipTensors], short_run: TrainConfig) -> None:
    tasks = [training_task(clips, short_run, 0, step) for step in range(20)]
    assert tasks == [training_task(clips, short_run, 0, step) for step in range(20)]
    assert tasks != [training_task(clips, short_run, 1, step) for step in range(20)]
    assert len(set(tasks)) > 15


def test_tasks_stay_within_the_held_frames_and_cameras(clips: list[ClipTensors], short_run: TrainConfig) -> None:
    for step in range(200):
        task = training_task(clips, short_run, 3, step)
        held, cameras = clips[task.clip].rgb.shape[:2]
        assert list(task.context) == sorted(set(task.context))
        assert 1 <= len(task.context) <= 4
        assert len({camera for _, camera in task.targets}) == len(task.targets) == short_run.targets
        assert all(0 <= frame < held and 0 <= camera < cameras for frame, camera in task.targets)


def test_a_clip_with_its_middle_frame_held_out_trains_from_either_end_and_from_both(short_run: TrainConfig) -> None:
    rgb = torch.zeros(2, 6, 4, 4, 3, dtype=torch.uint8)  # frames 0 and 2 of a clip of three
    eye = torch.eye(4, dtype=torch.float64)
    times = torch.tensor([0.0, 0.2], dtype=torch.float64)
    clip = ClipTensors(
        "c", "s", (0, 2), rgb, eye[None, :3, :3].expand(6, 3, 3).float(), eye.expand(2, 6, 4, 4), eye.expand(2, 4, 4),
        times, None, None,
    )  # fmt: skip
    kinds = collections.Counter()
    for step in range(300):
        task = training_task([clip], short_run, 0, step)
        frame = task.targets[0][0]
        kinds[task.context, frame] += 1
    assert min(kinds[(0,), 1], kinds[(1,), 0], kinds[(0, 1), 0], kinds[(0, 1), 1]) > 20


def test_views_are_in_the_frame_of_the_reference_ego(clips: list[ClipTensors]) -> None:
    views = clips[0].views([(3, 0), (5, 1)], reference=3)
    pose = views.cameras.world_from_camera
    torch.testing.assert_close(pose[0, :3, 3], torch.tensor([0.0, 0.0, 1.5]))
    torch.testing.assert_close(pose[1, :3, 3], torch.tensor([0.8, 0.0, 1.5]))
    torch.testing.assert_close(views.times_s, torch.tensor([0.0, 0.2]))


def test_the_protocol_looks_at_context_frames_and_renders_others(clips: list[ClipTensors]) -> None:
    task = protocol_task(clips[0], 0, stride=5)
    assert task.context == (0, 5)
    assert {frame for frame, _ in task.targets}.isdisjoint(task.context)
    assert protocol_task(clips[2], 2, stride=5).context == (0, 2)


def test_a_clip_without_poses_is_refused_by_name(clip: object) -> None:
    without = dataclasses.replace(clip, world_from_camera=None)  # type: ignore[type-var]
    with pytest.raises(DataError, match="clip clip has no camera poses"):
        ClipTensors.from_clip(without, range(8))  # type: ignore[arg-type]
