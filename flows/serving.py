"""The registered model: MLflow runs this file to load it ("models from code"), with the code of the run behind it.

It reconstructs a scene from posed context images and renders it at target cameras. V cameras, T context frames, F
target views, H x W pixels; poses are `world_from_camera` (OpenCV axes), intrinsics in pixels, times in seconds.
"""

from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.models import set_model


class WorldRecModel(mlflow.pyfunc.PythonModel):
    """Images in, rendered views out."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Loads the weights once."""
        from worldmodel.worldrec.inference import load_worldrec

        self.model = load_worldrec(context.artifacts["worldrec"])

    def predict(
        self,
        context: mlflow.pyfunc.PythonModelContext,
        model_input: dict[str, np.ndarray[Any, Any]],
        params: dict[str, Any] | None = None,
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Renders target views.

        Args:
            context: MLflow's; unused.
            model_input: `rgb` uint8 [T, V, H, W, 3], `Ks` [V, 3, 3], `world_from_camera` [T, V, 4, 4], `times_s` [T];
                `target_Ks` [F, 3, 3], `target_world_from_camera` [F, 4, 4], `target_times_s` [F].
            params: unused.

        Returns:
            `rgb` float32 [F, H, W, 3] in [0, 1], `depth` float32 [F, H, W] in metres, `alpha` float32 [F, H, W].
        """
        from worldmodel.worldrec.inference import predict_views

        return predict_views(self.model, **{name: np.asarray(value) for name, value in model_input.items()})


set_model(WorldRecModel())
