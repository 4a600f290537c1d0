"""Light, sky and air of one log: sun, sky gradient with clouds, fog as a blend with distance, wet ground.

Colours are linear. Multiple scattering, reflections of the scene and rain drops are left out.
"""

from dataclasses import dataclass

import numpy as np

from worldmodel.data.synthetic.config import TimeOfDay, Weather
from worldmodel.data.synthetic.solids import F32
from worldmodel.data.synthetic.textures import noise


@dataclass(frozen=True)
class Atmosphere:
    """What lights a log.

    Attributes:
        sun: [3] unit vector towards the sun (or, without one, towards the brightest sky).
        sun_rgb, ambient_rgb: light on a surface that faces the sun, and from everywhere.
        zenith_rgb, horizon_rgb: the sky's gradient. `cloud_rgb` and `clouds` (0 to 1): their colour and amount.
        fog_per_m: extinction; the air's colour is the horizon's.
        wet: how much the ground mirrors and darkens, 0 to 1.
        shadow_blur_m: softness of shadows.
        lamps: whether street lamps, head lamps and windows are lit, 0 to 1.
        exposure: linear gain before the tone curve.
    """

    sun: F32
    sun_rgb: F32
    ambient_rgb: F32
    zenith_rgb: F32
    horizon_rgb: F32
    cloud_rgb: F32
    clouds: float
    fog_per_m: float
    wet: float
    shadow_blur_m: float
    lamps: float
    exposure: float

    def sky(self, directions: F32, pixel_angle: float) -> F32:
        """Colour [S, 3] of the sky in unit directions [S, 3]."""
        up = np.maximum(directions[:, 2], 0.0)
        rgb = self.gradient(up)
        scale = 260.0 / (up + 0.12)
        u, v = directions[:, 0] * scale, directions[:, 1] * scale
        amount = np.clip(0.5 + 0.55 * noise(u, v, pixel_angle * scale) + 1.6 * (self.clouds - 0.5), 0, 1) * np.clip(
            up * 6, 0, 1
        )
        rgb += (0.85 * amount)[:, None] * (self.cloud_rgb - rgb)
        glow = np.maximum(directions @ self.sun, 0) ** 24
        return rgb + (0.35 * (1 - self.clouds) * glow)[:, None] * self.sun_rgb

    def gradient(self, up: F32) -> F32:
        """Colour [S, 3] of the cloudless sky at a sine [S] of the elevation."""
        mix = np.sqrt(np.clip(up, 0, 1))[:, None]
        return self.horizon_rgb + mix * (self.zenith_rgb - self.horizon_rgb)

    def through_air(self, rgb: F32, distance: F32) -> F32:
        """Colour [S, 3] after [S] metres of air."""
        clear = np.exp(-self.fog_per_m * distance)[:, None]
        return np.asarray(self.horizon_rgb + clear * (rgb - self.horizon_rgb))


_DAY = ((3.4, 3.1, 2.7), (0.34, 0.4, 0.54), (0.4, 0.8, 1.7), (1.9, 2.1, 2.3))
_DUSK = ((2.3, 1.15, 0.5), (0.2, 0.2, 0.29), (0.2, 0.33, 0.8), (1.9, 1.1, 0.6))
_NIGHT = ((0.02, 0.022, 0.033), (0.018, 0.022, 0.036), (0.005, 0.007, 0.018), (0.026, 0.026, 0.036))
_PALETTES = {"day": _DAY, "dusk": _DUSK, "night": _NIGHT}
_LAMPS = {"day": 0.0, "dusk": 0.4, "night": 1.0}
_EXPOSURE = {"day": 0.85, "dusk": 1.25, "night": 3.2}
# fog per metre, wetness, clouds, share of sunlight left, colour left in the sky
_WEATHER = {
    "clear": (0.0008, 0.0, 0.35, 1.0, 1.0),
    "overcast": (0.0015, 0.0, 0.8, 0.0, 0.15),
    "rain": (0.006, 1.0, 0.9, 0.0, 0.1),
    "fog": (0.014, 0.3, 1.0, 0.0, 0.05),
}


def atmosphere(weather: Weather, time_of_day: TimeOfDay, rng: np.random.Generator) -> Atmosphere:
    """The atmosphere of a log; `rng` places the sun."""
    sun_rgb, ambient, zenith, horizon = (np.array(rgb, np.float32) for rgb in _PALETTES[time_of_day])
    fog, wet, clouds, sunny, colourful = _WEATHER[weather]
    azimuth = float(rng.uniform(0, 2 * np.pi))
    elevation = float(np.deg2rad(rng.uniform(16, 24) if time_of_day == "dusk" else rng.uniform(28, 62)))
    if sunny == 0.0:
        elevation = np.deg2rad(80)
    sun = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    dull = np.float32(0.6 if weather == "rain" else 1.0)
    hidden = 0.25 * sun_rgb.mean() * np.ones(3, np.float32)
    cloud_rgb = dull * (0.35 * horizon + 0.55 * horizon.mean() + 0.15 * sunny * sun_rgb)
    return Atmosphere(
        sun=np.array(sun, np.float32),
        sun_rgb=dull * (sunny * sun_rgb + (1 - sunny) * hidden),
        ambient_rgb=dull * (_greyed(ambient, colourful) + (1 - sunny) * 0.2 * sun_rgb.mean()).astype(np.float32),
        zenith_rgb=dull * _greyed(zenith + (1 - sunny) * 0.5 * (horizon - zenith), colourful),
        horizon_rgb=dull * _greyed(horizon, 0.2 + 0.8 * colourful),
        cloud_rgb=cloud_rgb.astype(np.float32),
        clouds=float(np.clip(clouds + rng.uniform(-0.12, 0.12), 0, 1)),
        fog_per_m=fog * float(rng.uniform(0.8, 1.3)),
        wet=wet,
        shadow_blur_m=0.12 if sunny else 0.9,
        lamps=_LAMPS[time_of_day],
        exposure=_EXPOSURE[time_of_day] * float(rng.uniform(0.9, 1.1)),
    )


def _greyed(rgb: F32, colourful: float) -> F32:
    grey = rgb.mean()
    return np.asarray(grey + colourful * (rgb - grey), np.float32)


def tone(linear: F32) -> F32:
    """Display values in [0, 1]: an exponential shoulder, then gamma 2.2."""
    return np.asarray((1 - np.exp(-np.maximum(linear, 0))) ** (1 / 2.2))
