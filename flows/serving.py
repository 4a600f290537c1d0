"""The registered world model: MLflow runs this file to load it ("models from code"), with the run's own code behind.

It holds WorldRec, the tokenizer and WorldGen, as far as the run's data could train them. `predict` does what the
version's signature says: it generates a video from a first frame and a layout, without a prior; a version without
WorldGen reconstructs the scene of posed images and renders it. `unwrap_python_model()` of the loaded model has both
`generate`, with all its conditions, and `reconstruct`. T frames, S context images, F target views; poses are
`world_from_camera` with OpenCV axes, intrinsics in pixels of the images, times in seconds on one clock.
"""

from typing import TYPE_CHECKING

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worldmodel.worldgen.inference import Generator
    from worldmodel.worldrec.model import WorldRec

_CONTEXT = ("rgb", "Ks", "world_from_camera", "times_s", "world_from_ego")
_TAGS = ("weather", "time_of_day")


class WorldModel(PythonModel):
    """First frame and layout in, video out; without WorldGen, posed images in and rendered views out."""

    worldrec: "WorldRec | None" = None
    worldgen: "Generator | None" = None

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the weights of the parts that this version holds, once."""
        from pathlib import Path

        folders = {name: Path(path) for name, path in context.artifacts.items()}
        if "worldrec" in folders:
            from worldmodel.worldrec.inference import load_worldrec

            self.worldrec = load_worldrec(folders["worldrec"])
        if "worldgen" in folders:
            from worldmodel.worldgen.inference import load_generator

            self.worldgen = load_generator(folders["tokenizer"], folders["worldgen"])

    # no type hints: MLflow would take them for a schema
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Generates from `first_frame` and `layout`; a version without WorldGen reconstructs from posed images.

        MLflow lets through the inputs of the version's signature alone. To reconstruct with a version that holds
        WorldGen, or to generate with a prior or the ego's path, call the methods of `unwrap_python_model()`.

        Args:
            context: MLflow's; unused.
            model_input: arrays by name: `first_frame` and `layout`, or without WorldGen what `reconstruct` takes.
            params: `seed`, `weather` and `time_of_day` of `generate`.

        Returns:
            `rgb` uint8 [T, H, W, 3]; or what `reconstruct` returns.
        """
        given = {name: np.asarray(value) for name, value in model_input.items()}
        if "first_frame" not in given:
            return self.reconstruct(given)
        asked = params or {}
        tags = {name: str(asked[name]) for name in _TAGS if asked.get(name)}
        return self.generate(given["first_frame"], given["layout"], tags=tags, seed=int(asked.get("seed", 0)))

    def generate(
        self,
        first_frame: np.ndarray,
        layout: np.ndarray,
        *,
        world_from_ego: np.ndarray | None = None,
        prior: np.ndarray | None = None,
        prior_alpha: np.ndarray | None = None,
        tags: "Mapping[str, str] | None" = None,
        seed: int = 0,
    ) -> dict[str, np.ndarray]:
        """A video that goes on from the first frame as the layout says.

        Args:
            first_frame: uint8 [H, W, 3].
            layout: uint8 [T, H, W, 3], T = 1 + 4 k at the model's frame rate.
            world_from_ego: [T, 4, 4], the ego path, when it is known.
            prior: uint8 [T, H, W, 3], the scene as WorldRec renders it from the poses to come; black where alpha is at
                most 0.5.
            prior_alpha: what of `prior` shows something, uint8 (0 to 255) or float (0 to 1) [T, H, W]; given with it.
            tags: for instance `weather` and `time_of_day`.
            seed: of the noise: the same seed gives the same video.

        Returns:
            `rgb` uint8 [T, H, W, 3]; frame 0 is the first frame as the tokenizer has it.

        Raises:
            DataError: this version holds no WorldGen, or an input does not fit.
        """
        from worldmodel.errors import DataError

        if self.worldgen is None:
            raise DataError("this version holds no WorldGen", fix="use one trained on clips with layouts")
        video = self.worldgen.generate(
            first_frame,
            layout,
            world_from_ego=world_from_ego,
            prior=prior,
            prior_alpha=prior_alpha,
            tags=tags or {},
            seed=seed,
        )
        return {"rgb": video}

    def reconstruct(self, given: "Mapping[str, np.ndarray]") -> dict[str, np.ndarray]:
        """Renders the target views of a reconstructed scene.

        Args:
            given: `rgb` uint8 [S, H, W, 3], `Ks` [S, 3, 3], `world_from_camera` [S, 4, 4], `times_s` [S],
                `world_from_ego` [4, 4] at the first image; `target_Ks` [F, 3, 3], `target_world_from_camera` [F, 4, 4],
                `target_times_s` [F].

        Returns:
            `rgb` uint8 [F, H, W, 3], `depth` float32 [F, H, W] in metres (0 where nothing is), `alpha` [F, H, W].

        Raises:
            DataError: this version holds no WorldRec.
        """
        from worldmodel.errors import DataError
        from worldmodel.worldrec.inference import Context, reconstruct

        if self.worldrec is None:
            raise DataError("this version holds no WorldRec", fix="use one trained on clips with camera poses")
        scene = reconstruct(self.worldrec, Context(*(given[name] for name in _CONTEXT)))
        target = (given["target_world_from_camera"], given["target_Ks"], given["target_times_s"])
        height, width = given["rgb"].shape[1:3]
        images = scene.render(*target, (height, width))
        return {"rgb": images.rgb, "depth": images.depth, "alpha": images.alpha}


set_model(WorldModel())
