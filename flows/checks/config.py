"""What `validate` asks of the data: the `validate` section of params.yaml."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Split = Literal["train", "val", "test"]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class ValidateConfig(BaseModel):
    """Thresholds of the data suites.

    Attributes:
        licences: the licences that data may have, as the manifest spells them.
        min_clips: the fewest clips that each split must have; a split left out may be empty.
        clips_per_stratum: how many clips of every (source, split) are decoded and measured.
        min_frames, min_side_px: the shortest clip and the smallest image side.
        rate_hz: lowest and highest nominal frame rate.
        max_time_gap: longest step between frames, in nominal periods; the shortest is its inverse.
        focal_over_width: lowest and highest focal length as a fraction of the image's width.
        max_rotation_error: largest entry of |R'R - I|, and of |det R - 1|.
        max_speed_m_s: fastest ego motion between frames.
        max_camera_offset_m: how far a camera may be from the ego origin.
        max_depth_m: farthest depth stored.
        min_depth_coverage: smallest fraction of a clip's pixels that carry depth, where it has depth.
        max_depth_error: largest median relative disagreement of dense depth between views, and with LiDAR points.
        max_lidar_depth_error: the same for LiDAR depth between sweeps, where surfaces are sampled at other places.
        min_image_agreement: lowest correlation of brightness where cameras see the same surface, by dense depth.
        min_lidar_image_agreement: the same by LiDAR depth, which is sparse.
        min_brightness, min_contrast: mean and standard deviation, of 1, below which an image is black or constant.
        min_layout_brightness: brightest pixel of a layout video, of 1, below which all of it is black; single images of
            it may be black, where a camera sees neither lanes nor boxes.
        shown_clips: how many clip ids the verdict names for one expectation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    licences: tuple[str, ...] = Field(min_length=1)
    min_clips: dict[Split, Annotated[int, Field(ge=0)]]
    clips_per_stratum: int = Field(gt=0)
    min_frames: int = Field(default=2, ge=1)
    min_side_px: int = Field(default=16, ge=1)
    rate_hz: tuple[Positive, Positive] = (1.0, 60.0)
    max_time_gap: float = Field(default=1.5, gt=1)
    focal_over_width: tuple[Positive, Positive] = (0.2, 10.0)
    max_rotation_error: Positive = 1e-4
    max_speed_m_s: Positive = 70.0
    max_camera_offset_m: Positive = 10.0
    max_depth_m: Positive = 512.0
    min_depth_coverage: Fraction = 1e-3
    max_depth_error: Fraction = 0.05
    max_lidar_depth_error: Fraction = 0.1
    min_image_agreement: Fraction = 0.7
    min_lidar_image_agreement: Fraction = 0.6
    min_brightness: Fraction = 0.01
    min_contrast: Fraction = 0.005
    min_layout_brightness: Fraction = 0.1
    shown_clips: int = Field(default=10, gt=0)

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "ValidateConfig":
        for name in ("rate_hz", "focal_over_width"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"{name}: the lowest must be below the highest, got [{low}, {high}]")
        if not self.min_clips.get("train"):
            raise ValueError("min_clips.train: at least 1, because nothing can be trained without clips")
        return self
