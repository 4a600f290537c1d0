"""The layout raster: what a camera would see of the annotated world, as one picture a frame.

After the report's WorldGen figure: on black, boxes as shaded solids (vehicles green, people and riders magenta, the
rest amber), lane lines red, and the ego's coming path as a blue swath of the car's width whose colour is the time until
the car is there. Ground first, then boxes from far to near. A recorded layout video is taken as it is.

The swath lies in the plane z = 0 of the ego's frame: the ego's origin is on the ground. The synthetic world has it so,
and in the recorded clips of dgp_street the LiDAR's returns on the road ahead lie at 0.05 to 0.15 m.

Left out: what buildings hide (nothing here knows of them), crossings, the right order of boxes that reach into each
other, lens distortion.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodel.data.raster import Canvas, Colour
from worldmodel.data.schema import Box, Clip
from worldmodel.geometry.poses import Float, invert_pose, transform_points

VEHICLE, PERSON, OTHER, LANE = (0, 220, 80), (240, 0, 200), (255, 170, 0), (255, 0, 0)
SWATH_NOW, SWATH_LATER = (90, 170, 255), (0, 0, 140)
SWATH_S = 3.0  # from here on the swath keeps its last colour
CAR_WIDTH_M = 1.9
LANE_WIDTH_M = 0.15
_EDGE_SHADE = 0.35

_VEHICLES = {"car", "van", "truck", "bus", "trailer", "vehicle", "caravan", "construction_vehicle", "train", "tram"}
_PEOPLE = {"pedestrian", "person", "cyclist", "bicyclist", "motorcyclist", "rider", "bicycle", "motorcycle"}

# a box's faces in units of half its size: front, back, left, right, top, bottom; how bright each is
_NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float64)
_SHADES = (1.0, 0.55, 0.75, 0.75, 0.9, 0.3)


def _unit_faces() -> Float:
    """[6, 4, 3]: the corners of each face of the cube from -1 to 1, around the face."""
    faces = []
    for normal in _NORMALS:
        across = np.roll(np.abs(normal), 1)
        up = np.roll(across, 1)
        faces.append([normal + i * across + j * up for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    return np.array(faces)


_FACES = _unit_faces()


def layout_of(clip: Clip, camera: int, frames: Sequence[int]) -> NDArray[np.uint8] | None:
    """The layout of one camera: [len(frames), H, W, 3], or None where there is nothing to take or draw it from.

    Args:
        clip: with `layout_rgb`, or with camera poses and boxes or lanes. The swath goes from each frame to the end of
            this clip: the plan, a condition like the boxes.
        camera: index into `clip.cameras`.
        frames: indices into the clip's frames.
    """
    if clip.layout_rgb is not None:
        return clip.layout_rgb[list(frames), camera]
    if clip.Ks is None or clip.world_from_camera is None or (clip.boxes is None and clip.lanes is None):
        return None
    return np.stack([_draw(clip, clip.Ks[camera], clip.world_from_camera[t, camera], t) for t in frames])


def _draw(clip: Clip, K: Float, world_from_camera: Float, frame: int) -> NDArray[np.uint8]:
    canvas = Canvas(K, *clip.rgb.shape[2:4])
    camera_from_world = invert_pose(world_from_camera)
    if clip.world_from_ego is not None:
        _draw_swath(canvas, camera_from_world, clip.world_from_ego[frame:], clip.times_s[frame:])
    for lane in clip.lanes or ():
        points = transform_points(camera_from_world, lane)
        canvas.lines(points[:-1], points[1:], LANE, LANE_WIDTH_M)
    if clip.boxes is not None and clip.boxes[frame]:
        _draw_boxes(canvas, camera_from_world, clip.boxes[frame])
    return canvas.pixels()


def _draw_swath(canvas: Canvas, camera_from_world: Float, world_from_ego: Float, times_s: Float) -> None:
    """One quadrilateral between each two footprints, the latest first: where the path crosses itself, sooner wins."""
    width = np.array([[0, CAR_WIDTH_M / 2, 0], [0, -CAR_WIDTH_M / 2, 0]])
    sides = transform_points(camera_from_world, transform_points(world_from_ego, width))
    pieces = np.concatenate([sides[:-1], sides[1:, ::-1]], 1)
    later = np.minimum((times_s[:-1] - times_s[0]) / SWATH_S, 1)[:, None]
    colours = (1 - later) * SWATH_NOW + later * SWATH_LATER
    canvas.polygons(pieces[::-1], _colours(colours[::-1]))


def _draw_boxes(canvas: Canvas, camera_from_world: Float, boxes: Sequence[Box]) -> None:
    """The faces that look towards the camera, box after box from far to near (by their centres)."""
    camera_from_box = camera_from_world @ np.stack([box.world_from_box for box in boxes])
    order = np.argsort(-np.linalg.norm(camera_from_box[:, :3, 3], axis=-1), kind="stable")
    camera_from_box = camera_from_box[order]
    halves = np.array([boxes[index].size_m for index in order])[:, None, None] / 2
    faces = transform_points(camera_from_box[:, None], _FACES * halves)
    normals = _NORMALS @ np.swapaxes(camera_from_box[:, :3, :3], -1, -2)
    box, face = np.nonzero((normals * faces.mean(2)).sum(-1) < 0)
    paint = np.array([_paint(boxes[index].category) for index in order], np.float64)[box]
    canvas.polygons(faces[box, face], _colours(paint * np.array(_SHADES)[face, None]), _colours(paint * _EDGE_SHADE))


def _paint(category: str) -> Colour:
    if category in _VEHICLES:
        return VEHICLE
    return PERSON if category in _PEOPLE else OTHER


def _colours(rgb: Float) -> list[Colour]:
    """[N, 3] as PIL takes them."""
    return [(r, g, b) for r, g, b in np.rint(rgb).astype(int).tolist()]
