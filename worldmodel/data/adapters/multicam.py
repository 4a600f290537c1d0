"""Recorded multi-camera driving video with layout videos, as NVIDIA's Cosmos transfer models take it.

A folder holds `videos/<camera>/<clip>_<k>.mp4` and, where there are layouts (map and boxes drawn on black, as this
camera sees them), `control_input_hdmap_bbox/<camera>/<clip>_<k>.mp4` of the same length. The chunks k = 0, 1, ... of a
clip are one scene, and a scene is one log, named by the UUID at the end of `<clip>`, or by `<clip>` if there is none.

Conversions: chunks are joined. Where a chunk begins on the last frame of the one before, that double is dropped; where
it begins on the next frame, nothing is; elsewhere the scene is refused. If frame 0 of a scene is corrupt in any camera
(one colour, or channels lost) it is dropped in all, which keeps them in step. Frames are thinned by a whole factor.
Images are scaled to cover the size and cut at their centre, layouts too, whatever size they have.

Left out: there are no poses, no calibration (the lenses are f-theta), no boxes as numbers and no captions. Untagged
video is read as BT.601 of limited range, which is how such files are usually written.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.adapters.multicam_scene import SceneFiles, SceneFrames, VideoFile, read_scene
from worldmodel.data.adapters.recorded import RecordedFolder
from worldmodel.data.clip_checks import MAX_CAMERA_LENGTH, check_name
from worldmodel.data.schema import Clip
from worldmodel.errors import DataError

VIDEOS, LAYOUTS = "videos", "control_input_hdmap_bbox"
_FILE = re.compile(r"(?P<clip>.+?)(?:_(?P<chunk>\d+))?\.mp4")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True)
class MulticamSource(RecordedFolder):
    """The scenes of a folder of multi-camera video."""

    def log_ids(self) -> list[str]:
        """One id for each scene of any camera. Raises DataError if there is none."""
        return list(self._clips())

    def read_log(self, log_id: str) -> list[Clip]:
        """The clips of one scene. Raises DataError naming the file."""
        licence, cameras = self.licence, self._cameras(VIDEOS)
        for camera in cameras:
            check_name(f"{self.name}/{VIDEOS}: camera folder", camera, MAX_CAMERA_LENGTH)
        files = self._files(self._only(log_id), cameras)
        frames = read_scene(files, self.size, self.thinning)
        windows = self.windows(len(frames.rgb))
        return [self._clip(log_id, licence, k, cameras, frames, window) for k, window in enumerate(windows)]

    def _cameras(self, kind: str) -> tuple[str, ...]:
        return tuple(sorted({path.parent.name for path in (self.root / kind).glob("*/*.mp4")}))

    def _only(self, log_id: str) -> str:
        """What file names of a scene begin with."""
        clips = self._clips()[log_id]
        if len(clips) > 1:
            got = " and ".join(clips)
            raise DataError(f"{self.name}: two scenes are named {log_id}", got=got, fix="rename one of them")
        return clips[0]

    def _clips(self) -> dict[str, list[str]]:
        """Log ids and what file names of that scene begin with; of two scenes of one id, both."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.root / VIDEOS).glob("*/*.mp4"), key=lambda path: path.name):
            clip = _split_name(path.name)[0]
            scene = _UUID.search(clip)
            log_id = f"{self.name}-{scene.group() if scene else clip}"
            if clip not in found.setdefault(log_id, []):
                found[log_id].append(clip)
        if not found:
            expected = f"{VIDEOS}/<camera>/<clip>_<k>.mp4"
            raise DataError(f"{self.name}: no video in this folder", expected=expected)
        return found

    def _files(self, clip: str, cameras: tuple[str, ...]) -> SceneFiles:
        names = {path.name for path in (self.root / VIDEOS).glob("*/*.mp4") if _split_name(path.name)[0] == clip}
        if not any((self.root / LAYOUTS / camera / name).is_file() for camera in cameras for name in names):
            return SceneFiles(cameras, self._of_kind(VIDEOS, clip, names, cameras), None)
        layouts = self._of_kind(LAYOUTS, clip, names, cameras)
        return SceneFiles(cameras, self._of_kind(VIDEOS, clip, names, cameras), layouts)

    def _of_kind(
        self, kind: str, clip: str, names: set[str], cameras: tuple[str, ...]
    ) -> tuple[tuple[VideoFile, ...], ...]:
        ordered = sorted(names, key=lambda name: _split_name(name)[1])
        if [_split_name(name)[1] for name in ordered] != list(range(len(ordered))):
            expected, got = f"{clip}_0.mp4, {clip}_1.mp4 and so on", ", ".join(ordered)
            raise DataError(f"{self.name}/{kind}: scene {clip} lacks a chunk", expected=expected, got=got)
        for camera in cameras:
            for name in ordered:
                if not (self.root / kind / camera / name).is_file():
                    expected, fix = "a file for every camera and chunk", "add it, or take the scene out of the folder"
                    raise DataError(f"{self.name}/{kind}/{camera}/{name} is missing", expected=expected, fix=fix)
        return tuple(
            tuple(VideoFile(self.root / kind / c / name, f"{self.name}/{kind}/{c}/{name}") for name in ordered)
            for c in cameras
        )

    def _clip(
        self,
        log_id: str,
        licence: str,
        index: int,
        cameras: tuple[str, ...],
        frames: SceneFrames,
        window: NDArray[np.int64],
    ) -> Clip:
        return Clip(
            clip_id=f"{log_id}-{index:03d}",
            log_id=log_id,
            source=self.name,
            licence=licence,
            cameras=cameras,
            rate_hz=frames.rate_hz,
            times_s=np.arange(len(window)) / frames.rate_hz,
            rgb=frames.rgb[window],
            layout_rgb=None if frames.layout_rgb is None else frames.layout_rgb[window],
        )


def _split_name(name: str) -> tuple[str, int]:
    """Clip and chunk of a file's name; a file without a number is the only chunk of its clip."""
    match = _FILE.fullmatch(Path(name).name)
    assert match is not None
    return match["clip"], int(match["chunk"] or 0)
