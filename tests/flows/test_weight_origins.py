import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from evaluation.extractors.weights import I3D_K400, LPIPS_ALEX, WEIGHTS
from flows.weight_origins import Origins, parse_origins
from worldmodel.errors import DataError, RemoteError

CONTENT = b"weights"
PIN = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Answers CONTENT below /mirror/, and nothing elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.startswith("/mirror/") else 404)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def place_of(texts: list[str], scratch: Path) -> Path | None:
    return parse_origins(texts).file_of(I3D_K400, scratch, lambda text: None)


def test_without_any_the_packages_are_asked(tmp_path: Path) -> None:
    assert parse_origins([]) == Origins()
    assert place_of([], tmp_path) is None
    assert place_of([f"{LPIPS_ALEX.id}=/a.ckpt"], tmp_path) is None


def test_a_named_file_goes_before_the_folder_of_all_others(tmp_path: Path) -> None:
    both = ["/converted/", "i3d-k400=/mine/i3d.ckpt"]
    assert place_of(both, tmp_path) == Path("/mine/i3d.ckpt")
    assert place_of(both[:1], tmp_path) == Path("/converted/i3d-k400.safetensors")
    assert place_of(["./name=with"], tmp_path) == Path("name=with/i3d-k400.safetensors")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["i3d=/a.ckpt"], "no weights are called i3d"),
        (["i3d-k400=/a", "i3d-k400=/b"], "from two places"),
        (["/a", "/b"], "one folder or URL prefix at most"),
        ([""], "one place for each"),
        (["i3d-k400="], "one place for each"),
        (["i3d-k400=https://host/a.ckpt"], "must end in its #sha256"),
        (["i3d-k400=https://host/a.ckpt#sha256=abc"], "must end in its #sha256"),
        ([f"i3d-k400=https://host/a.ckpt#sha256={'g' * 64}"], "must end in its #sha256"),
    ],
)
def test_what_cannot_be_meant_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse_origins(texts)
    assert caught.value.expected and "fetch-weights" in caught.value.fix


def test_unknown_weights_are_told_which_there_are() -> None:
    with pytest.raises(DataError) as caught:
        parse_origins(["i3d=/a.ckpt"])
    assert caught.value.expected == ", ".join(WEIGHTS)


def test_a_pinned_url_and_a_prefix_are_downloaded(server: str, tmp_path: Path) -> None:
    for text in (f"i3d-k400={server}/mirror/a.ckpt#sha256={PIN}", f"{server}/mirror"):
        path = place_of([text], tmp_path)
        assert path is not None and path.is_relative_to(tmp_path) and path.read_bytes() == CONTENT
    assert path.name == "i3d-k400.safetensors"


def test_a_url_that_yields_another_file_than_it_pins_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the file that it pins") as caught:
        place_of([f"i3d-k400={server}/mirror/a.ckpt#sha256={'0' * 64}"], tmp_path)
    assert caught.value.got == PIN


def test_a_url_that_does_not_answer_is_named(server: str, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"/elsewhere/i3d-k400\.safetensors could not be fetched") as caught:
        place_of([f"{server}/elsewhere"], tmp_path)
    assert "404" in caught.value.got
    with pytest.raises(RemoteError, match="could not be fetched"):
        place_of(["http://127.0.0.1:9/mirror"], tmp_path)
