"""Which distance each metric id is: the table of features it is taken of, and the function."""

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.extractors.identity import ExtractorIdentity, check_metric_name
from evaluation.metrics.catalogue import FID, FVD, FVD_TOK, KID, KVD, KVD_TOK, MetricSpec
from evaluation.metrics.distance_intervals import Distance
from evaluation.metrics.distances import frechet, kernel_distance
from worldmodel.errors import DataError

TOK = "-tok"
_OF_VIDEOS = (FVD_TOK, KVD_TOK, FVD, KVD)
_OF_IMAGES = (FID, KID)
DISTANCES: Mapping[str, Distance] = {
    **{spec.id: frechet for spec in (FVD_TOK, FVD, FID)},
    **{spec.id: kernel_distance for spec in (KVD_TOK, KVD, KID)},
}


@dataclass(frozen=True)
class Recipe:
    """A distance: its spec, the table of features that it is of, and the function."""

    spec: MetricSpec
    table: str
    distance: Distance


def recipes(video: ExtractorIdentity | None, images: ExtractorIdentity | None) -> list[Recipe]:
    """The distances that these networks give, in the order of the report.

    Raises:
        DataError: a network is not the one that these metrics are defined on.
    """
    found = []
    for specs, identity in ((_OF_VIDEOS, video), (_OF_IMAGES, images)):
        if identity is None:
            continue
        for spec in specs:
            check_metric_name(spec.id, identity)
            found.append(Recipe(spec, table_of(spec.id), distance_of(spec.id)))
    return found


def distance_of(metric_id: str) -> Distance:
    """The function behind a distance's id.

    Raises:
        DataError: the metric is no distance of features.
    """
    if metric_id not in DISTANCES:
        raise DataError(f"{metric_id} is no distance of features", expected=" or ".join(DISTANCES), got=metric_id)
    return DISTANCES[metric_id]


def table_of(metric_id: str) -> str:
    """The table of features that a distance is of: its extractor's id, and `-tok` for those through the tokenizer."""
    name, _, extractor = metric_id.partition("@")
    return extractor + (TOK if name.endswith(TOK) else "")
