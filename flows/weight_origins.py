"""What `fetch-weights --from` says: where weights come from when not from their packages.

Nothing here is trusted. What a path or URL yields passes the same checks as a package's file; a URL of one file must
name its sha256 besides, and files below a folder or URL prefix are converted ones, held to their tensors' fingerprint.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from evaluation.extractors.weights import FETCH_COMMAND, WEIGHTS, WeightSource
from worldmodel.errors import DataError, RemoteError

_FORMS = "ID=PATH, ID=URL#sha256=HEX, or a folder or URL prefix of converted files"
_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Origins:
    """Where weights come from instead of their packages.

    Attributes:
        files: a path or pinned URL by the id of the weights.
        prefix: a folder or URL that holds `<id>.safetensors` of all others; empty for none.
    """

    files: dict[str, str] = field(default_factory=dict)
    prefix: str = ""

    def file_of(self, source: WeightSource, scratch: Path, say: Callable[[str], None]) -> Path | None:
        """A source's file, downloaded into `scratch` if it is elsewhere; None leaves it to the package.

        Raises:
            RemoteError: it could not be downloaded.
            DataError: what was downloaded is not what the URL pins.
        """
        place = self.files.get(source.id) or (self.prefix and f"{self.prefix.rstrip('/')}/{source.id}.safetensors")
        if not place:
            return None
        if not _is_url(place):
            return Path(place).expanduser()
        say(f"fetching {source.id} from {place}")
        url, _, pin = place.partition("#sha256=")
        parts = urlsplit(url)
        path = scratch / (parts.hostname or "") / f"{source.id}{Path(parts.path).suffix}"
        _download(url, path, pin)
        return path


PACKAGES_ALONE = Origins()


def parse_origins(texts: Sequence[str]) -> Origins:
    """Reads the values of `--from`.

    Raises:
        DataError: one is of no known form, names unknown weights, or a second place for the same.
    """
    files: dict[str, str] = {}
    prefixes = []
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or "/" in name:
            prefixes.append(text)
            continue
        if name not in WEIGHTS:
            raise _error(f"no weights are called {name}", text, expected=", ".join(WEIGHTS))
        if name in files:
            raise _error(f"{name} comes from two places", text)
        if _is_url(place) and not _is_pinned(place):
            raise _error("a URL of one file must end in its #sha256=HEX", text)
        files[name] = place
    if len(prefixes) > 1 or "" in (*prefixes, *files.values()):
        raise _error("give one place for each, and one folder or URL prefix at most", " ".join(texts))
    return Origins(files, "".join(prefixes))


def _is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _is_pinned(url: str) -> bool:
    pin = url.partition("#sha256=")[2]
    return len(pin) == hashlib.sha256().digest_size * 2 and set(pin) <= set("0123456789abcdef")


def _error(what: str, text: str, expected: str = _FORMS) -> DataError:
    return DataError(f"--from: {what}", expected=expected, got=text, fix=f"{FETCH_COMMAND} --help")


def _download(url: str, path: Path, pin: str) -> None:
    """Writes what a URL yields to `path`; `pin` is its sha256, or empty where the tensors are checked alone."""
    import requests

    total = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response, path.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK_BYTES):
                total.update(chunk)
                file.write(chunk)
    except requests.RequestException as error:
        raise RemoteError(
            f"{url} could not be fetched", got=str(error), fix=f"check the network or the URL, then: {FETCH_COMMAND}"
        ) from error
    if pin and total.hexdigest() != pin:
        raise DataError(f"{url} is not the file that it pins", expected=f"sha256 {pin}", got=total.hexdigest())
