"""Keys and values of the chunks that are done: the first one for good, the newest ones as far as the window goes."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Span:
    """How far causal attention sees, in latent frames.

    The first latent frame is a chunk of its own, and a sink: it is always seen. The others come in chunks of `chunk`.
    Out of the window goes a whole chunk at a time, the oldest after the sink first.

    Attributes:
        chunk: latent frames per chunk.
        window: latent frames seen in all: the sink, the newest chunks before, and the own chunk.
    """

    chunk: int
    window: int

    def chunk_of(self, frame: int) -> int:
        """The number of a latent frame's chunk; the first latent frame is chunk 0."""
        return -(-frame // self.chunk)

    def evicted(self, end: int) -> int:
        """Latent frames after the sink that a chunk no longer sees whose last frame is end - 1."""
        return self.chunk * -(-max(0, end - self.window) // self.chunk)


class KVCache:
    """What `Denoiser.step` remembers of a batch.

    Keys are stored before the rotary embedding, for positions count from the start of the window. Chunks are kept as
    the tensors they came in, detached, and never written to again: forgetting one moves no memory, and a graph that
    still holds one stays valid.

    Args:
        layers: transformer blocks.
        span: how far attention sees.
        batch: clips.
    """

    def __init__(self, layers: int, span: Span, batch: int) -> None:
        self.span, self.batch, self.seen = span, batch, 0
        self._layers: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(layers)]

    def context_frames(self, frames: int) -> int:
        """How many remembered latent frames a next chunk of `frames` sees.

        Raises:
            ValueError: no chunk can start here, or not one of this length.
        """
        allowed = 1 if self.seen == 0 else self.span.chunk
        if not 0 < frames <= allowed or (self.seen and (self.seen - 1) % self.span.chunk):
            raise ValueError(
                f"a chunk of {frames} latent frames after {self.seen}: expected at most {allowed}, in step"
            )
        return self.seen - self.span.evicted(self.seen + frames)

    def context(self, layer: int, frames: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [B, tokens, heads, features] of each chunk that a next one of `frames` sees, oldest first."""
        stored = self._layers[layer]
        recent = -(-(self.context_frames(frames) - 1) // self.span.chunk)
        return stored[:1] + stored[len(stored) - recent :] if recent > 0 else stored[:1]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Remembers a chunk in one layer; `advance` follows when all layers have it."""
        self._layers[layer].append((keys.detach(), values.detach()))

    def advance(self, frames: int) -> None:
        """Counts the appended chunk of `frames`, and forgets what no later chunk sees."""
        self.seen += frames
        held = 1 + -(-(self.seen - 1 - self.span.evicted(self.seen + 1)) // self.span.chunk)
        for layer in self._layers:
            del layer[1 : len(layer) - held + 1]
