"""Synthetic and recorded driving in one run: what so little recorded data cannot show is said, and the gate refuses."""

from typing import Any

import pytest

from evaluation.records import read_decision, read_report
from tests.e2e.conftest import RECORDED, Clone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded data at ../shared/data/dgp_street"),
]


@pytest.fixture(scope="module")
def record(clone: Clone) -> dict[str, Any]:
    data = ["--data", "synthetic", "--data", f"dgp:{RECORDED}"]
    return dict(clone.run("run", "--profile", "debug", *data, expect=(3,)))


def test_frame_1_of_six_cameras_is_measured_and_marked(clone: Clone, record: dict[str, Any]) -> None:
    report = read_report(clone.workspace(record) / "artifacts" / "evaluate" / "report.json")
    group = next(group for group in report.groups if group.source == "dgp_street")
    assert group.same_log
    psnr, depth = group.metric("image/psnr"), group.metric("depth/rmse")
    assert psnr is not None and psnr.n_images == 6 and "nearest_context" in psnr.baselines
    assert depth is not None and depth.value is not None, "depth is measured against LiDAR"
    assert any("dgp_street" in item.what for item in report.not_applicable)


def test_the_refusal_names_the_rule_that_this_data_cannot_meet(clone: Clone, record: dict[str, Any]) -> None:
    assert record["status"] == "refused"
    decision = read_decision(clone.state / "runs" / record["run_id"] / "decision.json")
    coverage = next(rule for rule in decision.rules if rule.id == "coverage/dgp_street")
    assert coverage.verdict == "not_applicable"


def test_the_record_names_the_data_by_digest_and_no_path(clone: Clone, record: dict[str, Any]) -> None:
    names = {source["name"]: source["digest"] for source in record["sources"]}
    assert set(names) == {"synthetic", "dgp_street"} and len(str(names["dgp_street"])) == 64
    assert str(RECORDED) not in (clone.workspace(record) / "data" / "sources.json").read_text()
