"""Which network made a feature, from which of its layers, of what input: all that must be equal to compare."""

from typing import Literal

from evaluation.base import Record, fingerprint
from evaluation.extractors.weights import WeightSource


class ExtractorIdentity(Record):
    """A feature network and how it is fed.

    Attributes:
        id: names the network in metric ids.
        package: where its weights come from, pinned.
        file_sha256: of the weights file in that package.
        tensor_fingerprint: of the tensors themselves.
        layer: what is read off.
        dims: numbers a video.
        input: preprocessing, frames and range.
        licence: of the weights.
        kind: `canonical` where literature defines the metric on this very network and layer.
    """

    id: str
    package: str
    file_sha256: str
    tensor_fingerprint: str
    layer: str
    dims: int
    input: str
    licence: str
    kind: Literal["canonical", "surrogate"]

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all of it."""
        return fingerprint(self)


def identity_of(
    source: WeightSource, layer: str, dims: int, preprocess: str, kind: Literal["canonical", "surrogate"]
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
