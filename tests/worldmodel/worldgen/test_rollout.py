"""Which samples are rolled out, and which they are compared with."""

from dataclasses import replace

from tests.worldmodel.worldgen.toy_latents import toy_row
from worldmodel.worldgen.config import RolloutConfig
from worldmodel.worldgen.rollout import choose

CAMERAS = ("front", "left")
TEST = [toy_row(n, split="test", camera=camera) for n in range(3) for camera in CAMERAS]
TRAIN = [toy_row(n, camera=camera, start=s) for n in range(10, 14) for camera in CAMERAS for s in (0, 4)]


def test_every_log_comes_before_a_second_sample_of_any_and_cameras_take_turns() -> None:
    found = choose([*TRAIN, *TEST], RolloutConfig(max_samples=4))
    assert [(row.log_id, row.camera) for row in found.generated] == [
        ("toy-000", "front"), ("toy-001", "left"), ("toy-002", "front"), ("toy-000", "left"),
    ]  # fmt: skip
    assert {item["reason"] for item in found.left_out} == {"max_samples is 4"}
    assert len(found.left_out) == 2


def test_references_are_as_many_training_samples_of_other_logs_and_the_same_cameras() -> None:
    found = choose([*TRAIN, *TEST], RolloutConfig(max_samples=4))
    assert len(found.reference) == 4
    assert len({row.log_id for row in found.reference}) == 4
    assert {row.start for row in found.reference} == {0}
    assert {row.split for row in found.reference} == {"train"}
    front = choose([*TRAIN, *TEST], RolloutConfig(cameras={"toy": ("front",)}))
    assert {row.camera for row in [*front.generated, *front.reference]} == {"front"}
    assert {item["reason"] for item in front.left_out} == {"camera left is not asked for"}


def test_each_source_has_its_own_limit_and_a_log_is_never_its_own_reference() -> None:
    alone = [toy_row(0, "one", split="test"), toy_row(0, "one", start=4)]
    found = choose([*TRAIN, *TEST, *alone], RolloutConfig(max_samples=2))
    assert [row.source for row in found.generated] == ["one", "toy", "toy"]
    assert {row.source for row in found.reference} == {"toy"}


def test_a_same_log_sample_is_left_out_with_the_reason_and_other_sources_go_on() -> None:
    same_log = replace(toy_row(0, "one", split="test"), same_log=True)
    found = choose([*TRAIN, *TEST, same_log], RolloutConfig(max_samples=6))
    assert {row.source for row in [*found.generated, *found.reference]} == {"toy"}
    (item,) = found.left_out
    assert (item["sample_id"], item["source"]) == (same_log.sample_id, "one") and "no held-out log" in item["reason"]
    assert choose([same_log], RolloutConfig()).generated == []
