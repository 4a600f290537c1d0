"""One DGP scene folder, read into arrays with the house's axes. What the format is and what is converted: see `dgp`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldmodel.data.adapters.json_fields import JsonField, error_text
from worldmodel.data.adapters.recorded import cover_and_cut
from worldmodel.data.schema import Box, Float
from worldmodel.errors import DataError
from worldmodel.geometry.poses import crop_and_resize_intrinsics, invert_pose, project_points, transform_points

LIDAR = "LIDAR"
# key of 3D boxes among a datum's annotations (dgp.proto.annotations: BOUNDING_BOX_3D)
_BOX_ANNOTATIONS = "1"
# some scenes write their stamps ten times too large: no drive was recorded after this
_LAST_PLAUSIBLE_STAMP = datetime(2100, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class SceneFrames:
    """All frames of a scene; fields as in `Clip`, the world's origin at the first ego position."""

    cameras: tuple[str, ...]
    times_s: Float
    rgb: NDArray[np.uint8]
    Ks: Float
    world_from_camera: Float
    world_from_ego: Float
    depth: NDArray[np.float32]
    points: tuple[NDArray[np.float32], ...]
    boxes: tuple[tuple[Box, ...], ...] | None


def read_scene(folder: Path, label: str, size: tuple[int, int]) -> SceneFrames:
    """Reads a scene.

    Args:
        folder: holds scene_*.json.
        label: what errors call the folder.
        size: height and width of the images to make.

    Raises:
        DataError: naming file and field.
    """
    return _Scene(folder, label, size).frames()


class _Scene:
    def __init__(self, folder: Path, label: str, size: tuple[int, int]) -> None:
        self.folder, self.label, self.size = folder, label, size
        files = sorted(folder.glob("scene_*.json"))
        if len(files) != 1:
            raise DataError(f"{label}: not one scene", expected="one scene_*.json", got=f"{len(files)} of them")
        self.json = self.read(files[0].name)
        self.datums = {datum["key"].text: datum for datum in self.json["data"]}
        samples = [self.sample(entry) for entry in self.json["samples"]]
        self.samples = sorted(samples, key=lambda sample: _stamp_s(sample[LIDAR]))
        if len(self.samples) < 2:
            raise self.json["samples"].wrong("at least two samples", f"{len(self.samples)}")
        self.cameras = tuple(sorted(set(self.samples[0]) - {LIDAR}))
        self.origin = _pose(self.lidar(0)["pose"])[:3, 3]

    def read(self, name: str) -> JsonField:
        return JsonField.of_file(self.folder / name, f"{self.label}/{name}")

    def sample(self, entry: JsonField) -> dict[str, JsonField]:
        """Datums of a sample by sensor: the LiDAR and every camera."""
        sensors = {}
        for key in entry["datum_keys"]:
            if key.text not in self.datums:
                raise key.wrong("the key of a datum", key.text)
            datum = self.datums[key.text]
            if "image" in datum["datum"] or datum["id"]["name"].text == LIDAR:
                sensors[datum["id"]["name"].text] = datum
        if LIDAR not in sensors or len(sensors) < 2:
            raise entry["datum_keys"].wrong(f"{LIDAR} and at least one camera", ", ".join(sensors) or "none")
        return sensors

    def lidar(self, t: int) -> JsonField:
        return self.samples[t][LIDAR]["datum"]["point_cloud"]

    def image(self, t: int, camera: str) -> JsonField:
        if camera not in self.samples[t]:
            raise DataError(f"{self.json.file}: field samples[{t}]", expected=f"an image of {camera}", got="none")
        return self.samples[t][camera]["datum"]["image"]

    @cached_property
    def calibration(self) -> tuple[dict[str, Float], dict[str, Float]]:
        """Intrinsics of the recorded images and ego_from_sensor, by sensor; one calibration for the whole scene."""
        keys = {entry["calibration_key"].text for entry in self.json["samples"]}
        if len(keys) != 1:
            raise self.json["samples"].wrong("one calibration_key for all samples", ", ".join(sorted(keys)))
        file = self.read(f"calibration/{keys.pop()}.json")
        names = [name.text for name in file["names"]]
        intrinsics, extrinsics = list(file["intrinsics"]), list(file["extrinsics"])
        if not len(names) == len(intrinsics) == len(extrinsics):
            got = f"{len(names)} names, {len(intrinsics)} intrinsics, {len(extrinsics)} extrinsics"
            raise file["names"].wrong("as many names as intrinsics and extrinsics", got)
        Ks = {name: _intrinsics(entry) for name, entry in zip(names, intrinsics, strict=True)}
        poses = {name: _pose(entry) for name, entry in zip(names, extrinsics, strict=True)}
        for name in (LIDAR, *self.cameras):
            if name not in poses:
                raise file["names"].wrong(f"all of {LIDAR}, {', '.join(self.cameras)}", f"no {name}")
        return Ks, poses

    def world_from(self, pose: JsonField) -> Float:
        world_from_sensor = _pose(pose)
        world_from_sensor[:3, 3] -= self.origin
        return world_from_sensor

    def frames(self) -> SceneFrames:
        T, V, (H, W) = len(self.samples), len(self.cameras), self.size
        intrinsics, extrinsics = self.calibration
        ego_from_lidar = extrinsics[LIDAR]
        rgb, depth = np.empty((T, V, H, W, 3), np.uint8), np.empty((T, V, H, W), np.float32)
        world_from_camera, world_from_ego = np.empty((T, V, 4, 4)), np.empty((T, 4, 4))
        Ks = np.empty((V, 3, 3))
        annotated = any(_BOX_ANNOTATIONS in self.lidar(t)["annotations"] for t in range(T))
        points, boxes = [], []
        for t in range(T):
            world_from_lidar = self.world_from(self.lidar(t)["pose"])
            returns = self.returns(t)
            world_from_ego[t] = world_from_lidar @ invert_pose(ego_from_lidar)
            points.append(transform_points(ego_from_lidar, returns).astype(np.float32))
            if annotated:
                boxes.append(self.boxes(t, world_from_lidar))
            for v, camera in enumerate(self.cameras):
                world_from_camera[t, v] = self.world_from(self.image(t, camera)["pose"])
                rgb[t, v], Ks[v] = self.picture(t, camera, intrinsics[camera])
                camera_from_lidar = invert_pose(world_from_camera[t, v]) @ world_from_lidar
                depth[t, v] = sparse_depth(Ks[v], transform_points(camera_from_lidar, returns), self.size)
        stamps = np.array([_stamp_s(sample[LIDAR]) for sample in self.samples])
        times_s = np.round(stamps - stamps[0], 6)
        return SceneFrames(
            cameras=self.cameras,
            times_s=times_s,
            rgb=rgb,
            Ks=Ks,
            world_from_camera=world_from_camera,
            world_from_ego=world_from_ego,
            depth=depth,
            points=tuple(points),
            boxes=tuple(boxes) if annotated else None,
        )

    def picture(self, t: int, camera: str, K: Float) -> tuple[NDArray[np.uint8], Float]:
        """An image of the size wanted, and its K."""
        name = self.image(t, camera)["filename"].text
        try:
            with Image.open(self.folder / name) as image:
                pixels, corner, scale = cover_and_cut(image, self.size)
        except (OSError, SyntaxError) as error:
            raise DataError(
                f"{self.label}/{name} cannot be read", expected="an image", got=error_text(error)
            ) from error
        return pixels, crop_and_resize_intrinsics(K, corner, (scale, scale))

    def returns(self, t: int) -> Float:
        """LiDAR returns [P, 3] in the sensor's frame."""
        name = self.lidar(t)["filename"].text
        columns = [axis.text for axis in self.lidar(t)["point_format"]]
        try:
            chosen = [columns.index(axis) for axis in "XYZ"]
            with (self.folder / name).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                returns = archive["data"][:, chosen].astype(np.float64)
        except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile) as error:
            raise DataError(
                f"{self.label}/{name}: field data", expected="npz, [P, X Y Z ...]", got=error_text(error)
            ) from error
        if not np.isfinite(returns).all():
            raise DataError(f"{self.label}/{name}: field data", expected="finite points", got="NaN or infinity")
        return np.asarray(returns)

    def boxes(self, t: int, world_from_lidar: Float) -> tuple[Box, ...]:
        file = self.read(self.lidar(t)["annotations"][_BOX_ANNOTATIONS].text)
        return tuple(self.box(entry, world_from_lidar) for entry in file["annotations"])

    def box(self, entry: JsonField, world_from_lidar: Float) -> Box:
        class_id = int(entry["class_id"].number)
        if class_id not in self.categories:
            raise entry["class_id"].wrong(f"one of the ontology's ids {sorted(self.categories)}", str(class_id))
        length, width, height = entry["box"].numbers("length", "width", "height").tolist()
        return Box(
            track_id=str(int(entry["instance_id"].number)),
            category=self.categories[class_id],
            world_from_box=world_from_lidar @ _pose(entry["box"]["pose"]),
            size_m=(length, width, height),
        )

    @cached_property
    def categories(self) -> dict[int, str]:
        file = self.read(f"ontology/{self.json['ontologies'][_BOX_ANNOTATIONS].text}.json")
        return {int(item["id"].number): item["name"].text.lower() for item in file["items"]}


def sparse_depth(K: Float, points_camera: Float, size: tuple[int, int]) -> NDArray[np.float32]:
    """z-depth [H, W] in metres of the points in camera axes, 0 where none falls; the nearest wins."""
    pixels, z = project_points(K, points_camera)
    columns, rows = np.floor(pixels).T
    seen = (z > 0) & (columns >= 0) & (columns < size[1]) & (rows >= 0) & (rows < size[0])
    nearest = np.full(size, np.inf)
    np.minimum.at(nearest, (rows[seen].astype(int), columns[seen].astype(int)), z[seen])
    return np.where(np.isfinite(nearest), nearest, 0).astype(np.float32)


def _stamp_s(datum: JsonField) -> float:
    """Seconds since 1970 of a datum; stamps that lie centuries ahead are ten times too large."""
    field = datum["id"]["timestamp"]
    try:
        stamp_s = datetime.fromisoformat(field.text).timestamp()
    except ValueError as error:
        raise field.wrong("an ISO 8601 time", field.text) from error
    return stamp_s / 10 if stamp_s > _LAST_PLAUSIBLE_STAMP else stamp_s


def _intrinsics(entry: JsonField) -> Float:
    """K with pixel centres at +0.5; DGP, like OpenCV, has them at whole numbers."""
    fx, fy, cx, cy, skew = entry.numbers("fx", "fy", "cx", "cy", "skew")
    return np.array([[fx, skew, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]])


def _pose(entry: JsonField) -> Float:
    """[4, 4] of a unit quaternion (w first) and a translation."""
    quaternion = entry["rotation"].numbers("qw", "qx", "qy", "qz")
    norm = float(np.linalg.norm(quaternion))
    if abs(norm - 1) > 1e-3:
        raise entry["rotation"].wrong("a unit quaternion", f"one of length {norm:.4g}")
    w, x, y, z = quaternion / norm
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = entry["translation"].numbers("x", "y", "z")
    return pose
