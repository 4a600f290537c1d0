"""WorldRec for use: load a model, reconstruct a scene from posed images in the world frame, render it from anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.geometry.cameras import Cameras
from worldmodel.geometry.poses import Float, invert_pose
from worldmodel.worldrec.model import WorldRec
from worldmodel.worldrec.scene import Scene
from worldmodel.worldrec.views import ClipTensors, Views
from worldmodel.worldrec.weights import load_worldrec

__all__ = ["Context", "Images", "Reconstruction", "load_worldrec", "reconstruct"]


@dataclass(frozen=True)
class Context:
    """Posed images of one scene, from any number of cameras and times.

    Attributes:
        rgb: [S, H, W, 3] uint8.
        Ks: [S, 3, 3] pixels.
        world_from_camera: [S, 4, 4].
        times_s: [S], on any clock.
        world_from_ego: [4, 4], the reference ego pose: the ego at the first image's time.
    """

    rgb: NDArray[np.uint8]
    Ks: Float
    world_from_camera: Float
    times_s: Float
    world_from_ego: Float

    @classmethod
    def from_clip(cls, clip: ClipTensors, frames: Sequence[int]) -> "Context":
        """All cameras of some of a clip's frames."""
        frame, camera = (np.array(index) for index in zip(*clip.all_cameras(frames), strict=True))
        return cls(
            clip.rgb.numpy()[frame, camera],
            clip.Ks.double().numpy()[camera],
            clip.world_from_camera.numpy()[frame, camera],
            clip.times_s.numpy()[frame],
            clip.world_from_ego.numpy()[frames[0]],
        )


@dataclass(frozen=True)
class Images:
    """Renders of C views: rgb [C, H, W, 3] uint8; depth (0 where alpha < 0.5) in metres and alpha [C, H, W]."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    alpha: NDArray[np.float32]


@dataclass(frozen=True)
class Reconstruction:
    """A scene with its place in the world.

    Attributes:
        scene: in the frame of the reference ego pose.
        reference_from_world: [4, 4].
        start_s: the reference time on the context's clock.
    """

    scene: Scene
    reference_from_world: Float
    start_s: float

    @torch.no_grad()
    def render(self, world_from_camera: Float, Ks: Float, times_s: Float, size: tuple[int, int]) -> Images:
        """Renders cameras [C, 4, 4] with intrinsics [C, 3, 3] of `size` = (height, width) at times [C]."""
        device = self.scene.velocities.device
        poses = torch.from_numpy(self.reference_from_world @ world_from_camera).float()
        cameras = Cameras(poses, torch.from_numpy(Ks).float(), *size).to(device)
        rendered = self.scene.render(cameras, torch.from_numpy(times_s - self.start_s).float().to(device))
        rgb = (rendered.rgb.clamp(0, 1) * 255).round().byte()
        depth = torch.where(rendered.alpha >= 0.5, rendered.depth, 0.0)
        return Images(rgb.cpu().numpy(), depth.cpu().numpy(), rendered.alpha.cpu().numpy())

    def tensors(self) -> dict[str, torch.Tensor]:
        """The Gaussians, in the reference frame: what `gaussians/<clip_id>.safetensors` holds."""
        gaussians = self.scene.gaussians
        return {
            "means": gaussians.means,
            "quats": gaussians.quats,
            "scales": gaussians.scales,
            "opacities": gaussians.opacities,
            "colors": gaussians.colors,
            "velocities": self.scene.velocities,
            "times_s": self.scene.times_s,
            "lifespans_s": self.scene.lifespans_s,
        }


@torch.no_grad()
def reconstruct(model: WorldRec, context: Context) -> Reconstruction:
    """One forward pass on the model's device."""
    reference_from_world = invert_pose(context.world_from_ego)
    start = float(context.times_s[0])
    height, width = context.rgb.shape[1:3]
    poses = torch.from_numpy(reference_from_world @ context.world_from_camera).float()
    views = Views(
        torch.from_numpy(context.rgb).float() / 255,
        Cameras(poses, torch.from_numpy(context.Ks).float(), height, width),
        torch.from_numpy(context.times_s - start).float(),
    )
    scene = model(views.to(next(model.parameters()).device))
    return Reconstruction(scene, reference_from_world, start)
