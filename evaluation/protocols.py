"""Protocols: named, frozen rules of what a number is measured on and how; each has a fingerprint.

A preset says which clips count, what the model is given, and how every metric is taken. What a run found under it (the
cameras, sizes and lengths of its clips) stands beside it in the report's `Protocol`. Results of unequal fingerprints
are never compared. Standard library and pydantic only.
"""

from typing import Literal

from pydantic import Field

from evaluation.base import Record, fingerprint
from worldmodel.errors import ParamsError

Preprocess = Literal["squash224", "short224-centercrop", "wcoda-224x400"]
LpipsNet = Literal["alex", "vgg"]


class ReconstructionPreset(Record):
    """How reconstruction is measured.

    Attributes:
        context_stride: every so many frames one is given; all others are targets.
        clip_frames: length of a clip; null: any.
        rate_hz: of its frames; null: any.
        lpips: networks of LPIPS; none: not measured.
        lpips_stride: LPIPS of every so many target frames.
        dists_stride: DISTS of every so many target frames; 0: not measured.
    """

    context_stride: int = Field(ge=1)
    clip_frames: int | None = None
    rate_hz: float | None = None
    lpips: tuple[LpipsNet, ...] = ()
    lpips_stride: int = Field(default=1, ge=1)
    dists_stride: int = Field(default=0, ge=0)


class GenerationPreset(Record):
    """How generated videos are measured. The first frame of a clip is given.

    Attributes:
        rate_hz: of the frames.
        window: frames that one video feature is of; longer videos are measured window by window.
        given_counts: whether the given frame is the first of the first window, as some papers have it.
        preprocess: how frames come to the video network.
        min_logs: fewest logs of generated, and of reference clips, for which distances are measured.
        image_stride: FID and KID take every so many generated frames; 0: not measured.
        lpips: network of LPIPS to the true frames; none: not measured.
        lpips_stride: LPIPS of every so many generated frames.
    """

    rate_hz: float = Field(gt=0)
    window: int = Field(ge=1)
    given_counts: bool = False
    preprocess: Preprocess = "squash224"
    min_logs: int = Field(default=8, ge=4)
    image_stride: int = Field(default=0, ge=0)
    lpips: LpipsNet | None = None
    lpips_stride: int = Field(default=1, ge=1)


class Preset(Record):
    """A named protocol.

    Attributes:
        name: what it is asked for by.
        says: in one line, for people.
        dataset: the source that clips must be of; null: any.
        split: of the clips; reports under a published dataset measure its validation split.
        cameras: that a clip must have, and that are measured; null: any.
        height, width: of the images; null: any.
        reconstruction, generation: null where the protocol has none.
    """

    name: str
    says: str
    dataset: str | None = None
    split: Literal["val", "test"] = "test"
    cameras: tuple[str, ...] | None = None
    height: int | None = None
    width: int | None = None
    reconstruction: ReconstructionPreset | None = None
    generation: GenerationPreset | None = None

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all of it."""
        return fingerprint(self)


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="debug",
            says="any data; no learned network, so nothing has to be fetched",
            reconstruction=ReconstructionPreset(context_stride=5),
            generation=GenerationPreset(rate_hz=10.0, window=12),
        ),
        Preset(
            name="tiny",
            says="any data: every 5th frame given, 16 generated frames at 10 Hz",
            reconstruction=ReconstructionPreset(context_stride=5, lpips=("alex",), lpips_stride=4, dists_stride=8),
            generation=GenerationPreset(rate_hz=10.0, window=16, image_stride=8, lpips="alex", lpips_stride=4),
        ),
        Preset(
            name="storm-waymo",
            says="Waymo validation, 2 s of 3 front cameras at 160 x 240, frames 0, 5, 10, 15 given, 16 targets (STORM)",
            dataset="waymo",
            split="val",
            cameras=("front_left", "front", "front_right"),
            height=160,
            width=240,
            reconstruction=ReconstructionPreset(
                context_stride=5, clip_frames=20, rate_hz=10.0, lpips=("alex",), lpips_stride=1, dists_stride=4
            ),
        ),
        Preset(
            name="vista25",
            says="nuScenes validation, front camera, 25 frames at 10 Hz with the given one in FVD (Vista)",
            dataset="nuscenes",
            split="val",
            cameras=("front",),
            generation=GenerationPreset(
                rate_hz=10.0, window=25, given_counts=True, min_logs=64, image_stride=1, lpips="alex", lpips_stride=4
            ),
        ),
        Preset(
            name="wcoda16",
            says="nuScenes validation, six cameras as six clips, 16 frames at 12 Hz, 224 x 400 crops (W-CODA)",
            dataset="nuscenes",
            split="val",
            cameras=("front_left", "front", "front_right", "back_left", "back", "back_right"),
            generation=GenerationPreset(
                rate_hz=12.0, window=16, preprocess="wcoda-224x400", min_logs=64, image_stride=1, lpips="alex"
            ),
        ),
        Preset(
            name="own16",
            says="any data: 16 generated frames at 10 Hz squashed to 224 x 224, windows of 16 after them",
            reconstruction=ReconstructionPreset(context_stride=5, lpips=("alex", "vgg"), dists_stride=1),
            generation=GenerationPreset(rate_hz=10.0, window=16, min_logs=64, image_stride=1, lpips="alex"),
        ),
    )
}


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ParamsError: there is none.
    """
    if name not in PRESETS:
        raise ParamsError(f"protocol {name}: no such preset", expected=" or ".join(PRESETS), got=name)
    return PRESETS[name]
