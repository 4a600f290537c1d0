"""The fixed words of a card: what each part of a model is, what it is for, and what it cannot do (docs/)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PartWords:
    """About one part of the bundle."""

    title: str
    what: str
    uses: tuple[str, ...]
    limits: tuple[str, ...]


UNKNOWN_PART = PartWords("a part", "a part that this version of the platform does not know", (), ())
PARTS = {
    "worldrec": PartWords(
        "WorldRec, reconstruction",
        "A feed-forward network: posed images of a few moments in, a scene of 3D Gaussians that move and fade out.",
        (
            "rendering a recorded drive from nearby views and moments",
            "rendering the prior that WorldGen is given",
        ),
        (
            "needs posed images of calibrated cameras; video without poses is not for it",
            "a scene is one clip long, and objects move with constant velocity",
            "no spherical harmonics: appearance does not change with the direction of view",
            "boxes, LiDAR and depth are no inputs",
        ),
    ),
    "tokenizer": PartWords(
        "Tokenizer",
        "A video codec: frames in, latents out, and back.",
        ("the space that WorldGen works in",),
        ("a small tokenizer blurs, and everything that WorldGen generates passes through it",),
    ),
    "worldgen": PartWords(
        "WorldGen, generation",
        "A causal video generator: a first frame and a plan of the road in, a video out, chunk by chunk in few steps.",
        (
            "generating videos of drives for development and for simulation that is itself validated",
            "comparing plans under equal conditions: the same seed gives the same video",
        ),
        (
            "one camera at a time; views of several cameras need not agree",
            "tags that were not in the training data are refused, free text is none",
            "generation without a rendered prior and ego motion is not the measured setting",
            "the priors of training clips were rendered by a WorldRec that had seen those logs",
        ),
    ),
}
USERS = ("developers and evaluators of driving functions, within the organisation that trained it",)
NOT_FOR = (
    "not for use in a vehicle, nor as the only evidence that a driving function is safe",
    "generated frames are not recordings: nothing in them happened",
)
