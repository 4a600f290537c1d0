import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.checks import run as run_module
from flows.checks.config import ValidateConfig
from flows.checks.run import check_data, run_suites
from flows.checks.suites import Expectation, Suite, build_suites
from flows.checks.verdict import describe_failures
from worldmodel.data.schema import Clip
from worldmodel.data.shards import ClipStore

Prepare = Callable[..., Path]


def judge(root: Path, config: ValidateConfig, seed: int = 0) -> dict[str, Any]:
    return check_data(ClipStore(root), config, seed, lambda done, total: None)[0]


def failed(verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Columns of the expectations that were not met, with the clips named."""
    expectations = [e for suite in verdict["suites"] for e in suite["expectations"] if not e["success"]]
    return {e["column"]: e["clips"] for e in expectations}


def test_sound_clips_are_fit_and_the_verdict_says_what_was_looked_at(
    prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    verdict = judge(prepare(clips), config)
    assert verdict["success"] is True
    assert describe_failures(verdict) == []
    assert verdict["sampled"] == [clip.clip_id for clip in clips]
    assert {suite["name"] for suite in verdict["suites"]} == {"manifest", "splits", "clips"}
    assert all(len(suite["fingerprint"]) == 64 for suite in verdict["suites"])
    rotations = next(e for e in verdict["suites"][2]["expectations"] if e["column"] == "rotation_error")
    assert rotations["observed"]["checked"] == 6
    assert rotations["observed"]["max"] < 1e-9
    assert rotations["kwargs"] == {"column": "rotation_error", "max_value": config.max_rotation_error}


def test_the_same_clips_and_seed_give_the_same_bytes(
    prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    root = prepare(clips)
    one, two = (json.dumps(judge(root, config), sort_keys=True, allow_nan=False) for _ in range(2))
    assert one == two
    assert str(root) not in one


def scaled_depth(clip: Clip) -> Clip:
    assert clip.depth is not None
    return replace(clip, depth=clip.depth * np.float32(1.1))


def skewed_rotation(clip: Clip) -> Clip:
    assert clip.world_from_camera is not None
    poses = clip.world_from_camera.copy()
    poses[1, 2, :3, :3] *= 1.001
    return replace(clip, world_from_camera=poses)


def swapped_cameras(clip: Clip) -> Clip:
    assert clip.depth is not None
    return replace(clip, rgb=clip.rgb[:, [1, 0, 2]], depth=clip.depth[:, [1, 0, 2]])


def swapped_cameras_in_one_frame(clip: Clip) -> Clip:
    assert clip.depth is not None
    depth = clip.depth.copy()
    depth[0, [0, 2]] = depth[0, [2, 0]]
    return replace(clip, depth=depth)


def exchanged_images(clip: Clip) -> Clip:
    return replace(clip, rgb=clip.rgb[:, [1, 0, 2]])


def time_gap(clip: Clip) -> Clip:
    return replace(clip, times_s=clip.times_s + np.where(np.arange(len(clip.times_s)) > 2, 0.2, 0))


def black_image(clip: Clip) -> Clip:
    rgb = clip.rgb.copy()
    rgb[3, 1] = 0
    return replace(clip, rgb=rgb)


def grey_image(clip: Clip) -> Clip:
    rgb = clip.rgb.copy()
    rgb[0, 0] = 128
    return replace(clip, rgb=rgb)


def black_layout(clip: Clip) -> Clip:
    return replace(clip, layout_rgb=np.full_like(clip.rgb, 3))


def stuck_camera(clip: Clip) -> Clip:
    rgb = clip.rgb.copy()
    rgb[4, 1] = rgb[3, 1]
    return replace(clip, rgb=rgb)


def negative_focal(clip: Clip) -> Clip:
    assert clip.Ks is not None
    return replace(clip, Ks=clip.Ks * np.array([[-1.0, 1, 1], [1, 1, 1], [1, 1, 1]]))


def principal_point_outside(clip: Clip) -> Clip:
    assert clip.Ks is not None
    return replace(clip, Ks=clip.Ks + np.array([[0.0, 0, 64], [0, 0, 0], [0, 0, 0]]))


def nan_pose(clip: Clip) -> Clip:
    assert clip.world_from_ego is not None
    poses = clip.world_from_ego.copy()
    poses[2, 0, 3] = np.nan
    return replace(clip, world_from_ego=poses)


def teleport(clip: Clip) -> Clip:
    assert clip.world_from_camera is not None and clip.world_from_ego is not None
    jump = np.zeros((4, 4))
    jump[0, 3] = 40.0
    later = (np.arange(len(clip.times_s)) > 2)[:, None, None]
    ego = clip.world_from_ego + later * jump
    return replace(clip, world_from_ego=ego, world_from_camera=clip.world_from_camera + later[:, None] * jump)


def no_depth_in_depth(clip: Clip) -> Clip:
    assert clip.depth is not None
    return replace(clip, depth=np.zeros_like(clip.depth))


FAULTS: dict[Callable[[Clip], Clip], str] = {
    scaled_depth: "dense_depth_error_points",
    skewed_rotation: "rotation_error",
    swapped_cameras: "dense_depth_error_frames",
    swapped_cameras_in_one_frame: "dense_depth_error_cameras",
    exchanged_images: "dense_image_agreement",
    time_gap: "longest_step",
    black_image: "darkest_image",
    grey_image: "flattest_image",
    black_layout: "brightest_layout",
    stuck_camera: "stuck_images",
    negative_focal: "shortest_focal",
    principal_point_outside: "centre_margin",
    nan_pose: "unmeasured",
    teleport: "fastest_m_s",
    no_depth_in_depth: "depth_coverage",
}


@pytest.fixture(scope="module")
def verdict_on_faults(prepare: Prepare, street: Any, config: ValidateConfig) -> dict[str, Any]:
    """A clip for each fault, and a sound one."""
    faulty = [fault(street.clip(number)) for number, fault in enumerate(FAULTS)]
    return judge(prepare([*faulty, street.clip(len(faulty))], checked=False), config)


@pytest.mark.parametrize(("number", "column"), list(enumerate(FAULTS.values())), ids=[f.__name__ for f in FAULTS])
def test_a_fault_in_one_clip_is_caught_and_named(number: int, column: str, verdict_on_faults: dict[str, Any]) -> None:
    clip_id = f"clip-{number:02d}"
    assert verdict_on_faults["success"] is False
    assert clip_id in failed(verdict_on_faults)[column]
    assert any(column in line and clip_id in line for line in describe_failures(verdict_on_faults))


def test_a_sound_clip_among_faulty_ones_is_not_named(verdict_on_faults: dict[str, Any]) -> None:
    assert not any(f"clip-{len(FAULTS)}" in clips for clips in failed(verdict_on_faults).values())


def test_a_clip_copied_into_another_split_is_caught_on_both_sides(
    prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    copy = replace(clips[5], rgb=clips[0].rgb)
    assert failed(judge(prepare([*clips[:5], copy]), config)) == {"images_in_other_splits": ["clip-00", "clip-05"]}


WRONG_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"licence": None}, "licence"),
    ({"licence": "CC-BY-NC-4.0"}, "licence"),
    ({"n_frames": 7}, "manifest_mismatches"),
    ({"has_boxes": False}, "manifest_mismatches"),
    ({"sha256": "0" * 64}, "sha256 and sha256_of_members"),
    ({"rate_hz": 0.0}, "rate_hz"),
    ({"cameras": []}, "n_cameras"),
    ({"split": "holdout"}, "split"),
    ({"log_id": "log-00"}, "splits_of_log"),
]


@pytest.fixture(scope="module")
def verdict_on_wrong_rows(prepare: Prepare, street: Any, config: ValidateConfig) -> dict[str, Any]:
    """Clips that the manifest describes wrongly, each in its way."""
    changes = {f"clip_{number:02d}": change for number, (change, _) in enumerate(WRONG_ROWS)}
    root = prepare([street.clip(number, frames=3) for number in range(len(WRONG_ROWS))], **changes)
    return judge(root, config.model_copy(update={"shown_clips": 30}))


@pytest.mark.parametrize(("number", "column"), [(n, column) for n, (_, column) in enumerate(WRONG_ROWS)])
def test_a_manifest_that_is_wrong_about_a_clip_is_caught(
    number: int, column: str, verdict_on_wrong_rows: dict[str, Any]
) -> None:
    expectations = [e for s in verdict_on_wrong_rows["suites"] for e in s["expectations"] if e["column"] == column]
    assert verdict_on_wrong_rows["success"] is False
    assert f"clip-{number:02d}" in [clip_id for e in expectations for clip_id in e["clips"]]


def test_a_clip_listed_twice_is_caught(prepare: Prepare, clips: list[Clip], config: ValidateConfig) -> None:
    verdict = judge(prepare(clips, clip_02={"clip_id": "clip-01"}), config)
    assert failed(verdict)["clip_id"] == ["clip-01", "clip-01"]


def test_a_damaged_shard_is_unfit_and_names_the_clip_and_the_member(
    prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    root = prepare(clips)
    shard = root / "shards" / "shard-00000.tar"
    shard.write_bytes(shard.read_bytes()[: int(ClipStore(root).row("clip-05")["offset"]) + 4000])
    verdict = judge(root, config)
    assert failed(verdict)["decode_error"] == ["clip-05"]
    (error,) = next(e["values"] for e in verdict["suites"][2]["expectations"] if e["column"] == "decode_error")
    assert "shard-00000.tar" in error
    assert "clip-05" in error


def test_too_few_clips_in_a_split_are_unfit(prepare: Prepare, clips: list[Clip], config: ValidateConfig) -> None:
    verdict = judge(prepare(clips[:5]), config)
    assert failed(verdict) == {"n_clips and min_clips": ["test"]}


def test_a_clip_without_poses_and_depth_is_left_out_of_those_columns_and_this_is_said(
    prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    bare = replace(clips[2], world_from_camera=None, world_from_ego=None, depth=None, depth_kind=None, dynamic=None)
    verdict = judge(prepare([*clips[:2], bare, *clips[3:]]), config)
    assert verdict["success"] is True
    reasons = {tuple(skip["columns"]): skip["reason"] for skip in verdict["skipped"]}
    assert {skip["clip_id"] for skip in verdict["skipped"]} == {"clip-02"}
    assert reasons["depth_coverage", "deepest_m"] == "the clip has no depth"
    assert reasons[("depth_error_frames",)] == "the clip has no depth and no world_from_camera"
    checked = {e["column"]: e["observed"]["checked"] for e in verdict["suites"][2]["expectations"]}
    assert (checked["rotation_error"], checked["shortest_focal"]) == (5, 6)


def test_recorded_video_with_layouts_and_nothing_else_is_fit_and_what_it_cannot_answer_is_said(
    prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    absent = ("Ks", "world_from_camera", "world_from_ego", "depth", "depth_kind", "dynamic", "points", "boxes")
    video = replace(clips[2], **dict.fromkeys(absent), rgb=clips[2].rgb[[0, 0, *range(2, 6)]], rate_hz=30.0)  # type: ignore[arg-type]
    video = replace(video, times_s=np.arange(6) / 30)
    verdict = judge(prepare([*clips[:2], video, *clips[3:]]), config)
    assert verdict["success"] is True
    reasons = {column: skip["reason"] for skip in verdict["skipped"] for column in skip["columns"]}
    assert reasons["stuck_images"] == "the clip has no world_from_ego", "without poses nobody knows whether it stood"
    checked = {e["column"]: e["observed"]["checked"] for e in verdict["suites"][2]["expectations"]}
    assert (checked["stuck_images"], checked["brightest_layout"], checked["darkest_image"]) == (5, 6, 6)


def test_an_expectation_that_no_clip_can_answer_is_marked_not_applicable(
    prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    expectations = judge(prepare(clips), config)["suites"][2]["expectations"]
    marked = {e["column"] for e in expectations if e["not_applicable"]}
    assert {name for name in marked if name.startswith("dense")} == set()
    assert "lidar_depth_error_frames" in marked


def test_an_exception_inside_an_expectation_is_not_a_success() -> None:
    import pandas as pd

    rule = Expectation("about nothing", "expect_column_values_to_be_between", {"column": "absent", "max_value": 1})
    (result,) = run_suites((Suite("lonely", "id", (rule,)),), {"lonely": pd.DataFrame({"id": ["a"]})}, 3)
    assert result.success is False
    assert "absent" in str(result.expectations[0]["exception"])


def test_a_suite_that_cannot_be_run_is_an_error_and_not_a_success() -> None:
    import pandas as pd

    suite = Suite("odd", "id", (Expectation("of no known type", "expect_nothing", {}),))
    (result,) = run_suites((suite,), {"odd": pd.DataFrame({"id": ["a"]})}, 3)
    assert result.success is False
    assert result.error is not None and "ExpectNothing" in result.error


def test_an_empty_suite_is_met_only_if_every_rule_was_evaluated(config: ValidateConfig) -> None:
    result = run_module.SuiteResult(build_suites(config)[0], (), None, None)
    assert result.success is False


def used_types() -> list[str]:
    config = ValidateConfig.model_validate({"licences": ["x"], "min_clips": {"train": 1}, "clips_per_stratum": 1})
    return sorted({e.type for suite in build_suites(config) for e in suite.expectations})


@pytest.mark.parametrize("expectation_type", used_types())
@pytest.mark.parametrize("fit", [True, False])
def test_every_type_of_expectation_in_use_gives_a_result_that_json_can_hold(
    expectation_type: str, fit: bool, prepare: Prepare, clips: list[Clip], config: ValidateConfig
) -> None:
    import pandas as pd

    arguments: dict[str, Any] = {"column": "a"}
    if "pair" in expectation_type:
        arguments = {"column_A": "a", "column_B": "b"}
    elif "columns" in expectation_type:
        arguments = {"column_set": ["a", "b"] if fit else ["missing"], "exact_match": False}
    arguments |= {"value_set": [1.0, 2.0]} if "in_set" in expectation_type else {}
    arguments |= {"regex": "^x$"} if "regex" in expectation_type else {}
    arguments |= {"max_value": 2.0} if "between" in expectation_type else {}
    values: list[Any] = ["x", "x"] if "regex" in expectation_type else [1.0, 2.0]
    others = [v if "equal" in expectation_type else 0.5 for v in values]
    if expectation_type.endswith("be_null"):
        values = [None, None] if "not" not in expectation_type else values
    if not fit:
        values = [values[0], None] if "not_be_null" in expectation_type else [9.0, 9.0]
        values = ["y", "y"] if "regex" in expectation_type else values
        others = [10.0, 10.0]
    table = pd.DataFrame({"id": ["p", "q"], "a": np.array(values), "b": np.array(others)})
    suite = Suite("one", "id", (Expectation("it", expectation_type, arguments),))
    (result,) = run_suites((suite,), {"one": table}, 5)
    assert result.error is None
    assert result.expectations[0]["exception"] is None
    assert result.success is fit
    assert json.loads(json.dumps(result.expectations, allow_nan=False))[0] == result.expectations[0]
