"""Which network made a feature, from which of its layers, of what input: all that must be equal to compare."""

from typing import Literal

from evaluation.base import Record, fingerprint
from evaluation.extractors.weights import WeightSource
from worldmodel.errors import DataError

Kind = Literal["canonical", "surrogate", "synthetic"]


class ExtractorIdentity(Record):
    """A feature network and how it is fed.

    Attributes:
        id: names the network in metric ids.
        package: where its weights come from, pinned.
        file_sha256: of the weights file in that package.
        tensor_fingerprint: of the tensors themselves.
        layer: what is read off.
        dims: numbers a video, or an image; 0 for a network that compares two images.
        input: preprocessing, frames and range.
        licence: of the weights.
        kind: `canonical` where literature defines the metric on this very network and layer; `surrogate` for another
            trained one; `synthetic` for random weights, which say nothing of videos and serve tests alone.
    """

    id: str
    package: str
    file_sha256: str
    tensor_fingerprint: str
    layer: str
    dims: int
    input: str
    licence: str
    kind: Kind

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all of it."""
        return fingerprint(self)


def identity_of(
    source: WeightSource, layer: str, dims: int, preprocess: str, kind: Kind = "canonical"
) -> ExtractorIdentity:
    """The identity of a network with the weights of `source`."""
    return ExtractorIdentity(
        id=source.id,
        package=source.package,
        file_sha256=source.sha256,
        tensor_fingerprint=source.tensor_fingerprint,
        layer=layer,
        dims=dims,
        input=preprocess,
        licence=source.licence,
        kind=kind,
    )


def check_metric_name(metric_id: str, identity: ExtractorIdentity) -> None:
    """Refuses a number under a name that literature gives to another network.

    `area/name@extractor` may stand in results only where the network of this identity is the canonical one of the
    metric and is the one that is named. A surrogate is reported as `fd[...]` or `kd[...]`; a synthetic one never.

    Raises:
        DataError: naming the metric and the network.
    """
    if metric_id.endswith(f"@{identity.id}") and identity.kind == "canonical":
        return
    raise DataError(
        f"{metric_id} was measured with {identity.id}, a {identity.kind} network",
        expected=f"the canonical network {metric_id.rpartition('@')[2]}",
        got=f"{identity.id} ({identity.package})",
        fix="worldmodel metrics fetch-weights, or leave the metric out",
    )
