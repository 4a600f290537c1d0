"""Configuration of the synthetic source: how many logs, how long, and which cameras look at them.

The world itself has no knobs: its contents are fixed by `WORLD_VERSION`, the seed and the log index.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Weather = Literal["clear", "overcast", "rain", "fog"]
TimeOfDay = Literal["day", "dusk", "night"]


class SyntheticCamera(BaseModel):
    """A pinhole camera on the ego: where it sits (ego frame, metres) and where it looks (yaw to the left)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=20)
    yaw_deg: float = Field(ge=-180, le=180)
    hfov_deg: float = Field(default=70.0, gt=10, lt=150)
    position_m: tuple[float, float, float] = (1.5, 0.0, 1.6)


FRONT_CAMERAS = (
    SyntheticCamera(name="front_left", yaw_deg=52, position_m=(1.4, 0.4, 1.6)),
    SyntheticCamera(name="front", yaw_deg=0, position_m=(1.6, 0.0, 1.6)),
    SyntheticCamera(name="front_right", yaw_deg=-52, position_m=(1.4, -0.4, 1.6)),
)
SURROUND_CAMERAS = (
    *FRONT_CAMERAS,
    SyntheticCamera(name="back_left", yaw_deg=112, position_m=(1.0, 0.5, 1.6)),
    SyntheticCamera(name="back", yaw_deg=180, position_m=(-0.8, 0.0, 1.6)),
    SyntheticCamera(name="back_right", yaw_deg=-112, position_m=(1.0, -0.5, 1.6)),
)


class SyntheticConfig(BaseModel):
    """How much of the world to record. Sizes in pixels; the clips of a log follow each other without a gap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    logs: int = Field(default=24, ge=1, le=9999)
    clips_per_log: int = Field(default=2, ge=1)
    frames: int = Field(default=20, ge=1)
    rate_hz: float = Field(default=10.0, gt=0, le=60)
    height: int = Field(default=64, ge=16)
    width: int = Field(default=96, ge=16)
    cameras: tuple[SyntheticCamera, ...] = Field(default=FRONT_CAMERAS, min_length=1)
    lidar_rings: int = Field(default=16, ge=1)
    lidar_azimuths: int = Field(default=180, ge=12)
    weathers: tuple[Weather, ...] = Field(default=("clear", "overcast", "rain", "fog"), min_length=1)
    times_of_day: tuple[TimeOfDay, ...] = Field(default=("day", "dusk", "night"), min_length=1)

    @model_validator(mode="after")
    def _camera_names_differ(self) -> Self:
        names = [camera.name for camera in self.cameras]
        if len(set(names)) != len(names):
            raise ValueError(f"cameras: names must differ, got {names}; rename one")
        return self
