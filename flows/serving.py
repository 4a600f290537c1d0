"""The registered model: MLflow runs this file to load it ("models from code"), with the code of the run behind it.

It reconstructs a scene from posed images and renders it from target cameras. S context images, F target views; poses
are `world_from_camera` with OpenCV axes, intrinsics in pixels of the images, times in seconds on one clock.
"""

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class WorldRecModel(PythonModel):
    """Images in, rendered views out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the weights once."""
        from pathlib import Path

        from worldmodel.worldrec.inference import load_worldrec

        self.model = load_worldrec(Path(context.artifacts["worldrec"]))

    # no type hints: MLflow would take them for a schema
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Renders the target views.

        Args:
            context: MLflow's; unused.
            model_input: `rgb` uint8 [S, H, W, 3], `Ks` [S, 3, 3], `world_from_camera` [S, 4, 4], `times_s` [S],
                `world_from_ego` [4, 4] at the first image; `target_Ks` [F, 3, 3], `target_world_from_camera` [F, 4, 4],
                `target_times_s` [F].
            params: unused.

        Returns:
            `rgb` uint8 [F, H, W, 3], `depth` float32 [F, H, W] in metres (0 where nothing is), `alpha` [F, H, W].
        """
        from worldmodel.worldrec.inference import Context, reconstruct

        given = {name: np.asarray(value) for name, value in model_input.items()}
        names = ("rgb", "Ks", "world_from_camera", "times_s", "world_from_ego")
        scene = reconstruct(self.model, Context(*(given[name] for name in names)))
        target = (given["target_world_from_camera"], given["target_Ks"], given["target_times_s"])
        height, width = given["rgb"].shape[1:3]
        images = scene.render(*target, (height, width))
        return {"rgb": images.rgb, "depth": images.depth, "alpha": images.alpha}


set_model(WorldRecModel())
