"""The three suites, as data: what is expected of the manifest, of each split, and of decoded clips.

`type` is Great Expectations' own name of an expectation and `kwargs` its arguments, so a suite can be fingerprinted and
read without importing Great Expectations. A null is ignored by every expectation but `values_to_not_be_null`: absent
columns are accounted for by `flows.checks.columns`. Quantile and KL-divergence expectations are not used: in 1.24 they
leak numpy booleans that cannot be stored.
"""

from dataclasses import asdict, dataclass
from typing import Any

from flows.checks.config import ValidateConfig
from flows.manifest import digest

SUITE_VERSION = 2

CLIP_ID = r"^[A-Za-z0-9_-]+$"
REQUIRED = (
    *("clip_id", "log_id", "source", "licence", "split", "cameras", "n_frames", "height", "width", "rate_hz"),
    *("has_poses", "has_depth", "has_sky", "has_dynamic", "has_points", "has_boxes", "has_layout", "has_text"),
    *("has_layout_video", "shard", "byte_size", "sha256"),
)


@dataclass(frozen=True)
class Expectation:
    """One rule: a name that says what it is for, the expectation's type and its arguments."""

    check: str
    type: str
    kwargs: dict[str, Any]

    @property
    def column(self) -> str:
        """The column, or both columns, that the rule is about."""
        names = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return " and ".join(names) or "(table)"


@dataclass(frozen=True)
class Suite:
    """The rules for one table; `index` is the column that names a row in a verdict."""

    name: str
    index: str
    expectations: tuple[Expectation, ...]

    @property
    def fingerprint(self) -> str:
        """sha256 over the rules."""
        return digest({"version": SUITE_VERSION, **asdict(self)})


def build_suites(config: ValidateConfig) -> tuple[Suite, ...]:
    """The suites with the thresholds of `config`."""
    return (
        Suite("manifest", "clip_id", _manifest_rules(config)),
        Suite("splits", "split", _split_rules()),
        Suite("clips", "clip_id", _clip_rules(config)),
    )


def _between(check: str, column: str, low: float | None = None, high: float | None = None, **more: Any) -> Expectation:
    bounds = {name: value for name, value in (("min_value", low), ("max_value", high)) if value is not None}
    return Expectation(check, "expect_column_values_to_be_between", {"column": column, **bounds, **more})


def _column(check: str, rule: str, column: str, **more: Any) -> Expectation:
    return Expectation(check, f"expect_column_values_to_{rule}", {"column": column, **more})


def _manifest_rules(config: ValidateConfig) -> tuple[Expectation, ...]:
    columns = {"column_set": list(REQUIRED), "exact_match": False}
    return (
        Expectation("the manifest has its columns", "expect_table_columns_to_match_set", columns),
        *(_column("complete", "not_be_null", column) for column in REQUIRED),
        _column("every clip once", "be_unique", "clip_id"),
        _column("clip ids can name tar members", "match_regex", "clip_id", regex=CLIP_ID),
        _column("licence allowed", "be_in_set", "licence", value_set=list(config.licences)),
        _column("known split", "be_in_set", "split", value_set=["train", "val", "test"]),
        _between("a log stays in one split", "splits_of_log", 1, 1),
        _between("at least one camera", "n_cameras", 1),
        _between("long enough", "n_frames", config.min_frames),
        _between("large enough", "height", config.min_side_px),
        _between("large enough", "width", config.min_side_px),
        _between("plausible frame rate", "rate_hz", *config.rate_hz),
        _between("not empty", "byte_size", 1),
        _column("well-formed digest", "match_regex", "sha256", regex="^[0-9a-f]{64}$"),
    )


def _split_rules() -> tuple[Expectation, ...]:
    kwargs = {"column_A": "n_clips", "column_B": "min_clips", "or_equal": True}
    return (Expectation("enough clips", "expect_column_pair_values_a_to_be_greater_than_b", kwargs),)


def _clip_rules(config: ValidateConfig) -> tuple[Expectation, ...]:
    digests = {"column_A": "sha256", "column_B": "sha256_of_members", "ignore_row_if": "neither"}
    return (
        Expectation("the bytes are those of the manifest", "expect_column_pair_values_to_be_equal", digests),
        _column("can be decoded", "be_null", "decode_error"),
        _between("says what it is", "manifest_mismatches", 0, 0),
        _between("finite numbers", "nonfinite_values", 0, 0),
        _between("every column measured, or left out for a reason", "unmeasured", 0, 0),
        _between("no image in two splits", "images_in_other_splits", 0, 0),
        _between("no camera stuck while the ego moves", "stuck_images", 0, 0),
        _between("no black image", "darkest_image", config.min_brightness),
        _between("no constant image", "flattest_image", config.min_contrast),
        _between("a layout video shows something", "brightest_layout", config.min_layout_brightness),
        _between("no frame too early", "shortest_step", 1 / config.max_time_gap),
        _between("no time gap", "longest_step", None, config.max_time_gap),
        _between("plausible focal length", "shortest_focal", config.focal_over_width[0]),
        _between("plausible focal length", "longest_focal", None, config.focal_over_width[1]),
        _between("principal point inside the image", "centre_margin", 0, strict_min=True),
        _between("orthonormal rotations", "rotation_error", None, config.max_rotation_error),
        _between("cameras are on the ego", "camera_offset_m", None, config.max_camera_offset_m),
        _between("plausible speed", "fastest_m_s", None, config.max_speed_m_s),
        _between("positive box sizes", "smallest_box_m", 0, strict_min=True),
        *_depth_rules(config),
    )


def _depth_rules(config: ValidateConfig) -> tuple[Expectation, ...]:
    rules = [
        _between("depth where the clip says so", "depth_coverage", config.min_depth_coverage, 1),
        _between("depth in range", "deepest_m", None, config.max_depth_m),
    ]
    limits = {
        "dense": (config.max_depth_error, config.min_image_agreement),
        "lidar": (config.max_lidar_depth_error, config.min_lidar_image_agreement),
    }
    for kind, (limit, correlation) in limits.items():
        agree = f"{kind} depth agrees"
        rules += [
            _between(f"{agree} between frames", f"{kind}_depth_error_frames", None, limit),
            _between(f"{agree} between cameras", f"{kind}_depth_error_cameras", None, limit),
            _between(f"{agree} with LiDAR points", f"{kind}_depth_error_points", None, limit),
            _between("cameras see the same colours", f"{kind}_image_agreement", correlation),
        ]
    return tuple(rules)
