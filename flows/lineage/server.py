"""A server that takes OpenLineage events over HTTP. It is a convenience: no stage fails or waits long for it."""

import re
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

PATIENCE_S = 2.0


class Server:
    """Sends events until the first that is not taken."""

    def __init__(self, url: str, api_key: str) -> None:
        """The key is sent as a bearer's token, and never shown; nor is what a URL holds besides scheme and host."""
        self._url, self._api_key = url, api_key
        host = re.match(r"(\w+://)(?:[^/@]*@)?([^/?#]+)", url)
        self._place = "".join(host.groups()) if host else "a URL that is none"

    def send(self, event: "RunEvent") -> str:
        """Sends an event; returns what went wrong, or nothing. Waits no longer than `PATIENCE_S`, whatever it does."""
        problems = [f"did not answer within {PATIENCE_S:g} s"]

        def post() -> None:
            try:
                self._post(event)
                problems.clear()
            except Exception as error:  # of its many layers; their texts may hold the URL
                status = getattr(getattr(error, "response", None), "status_code", "")
                problems[:] = [f"did not take an event ({type(error).__name__} {status}".rstrip() + ")"]

        thread = threading.Thread(target=post, daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        return "".join(f"the OpenLineage server at {self._place} {problem}" for problem in problems)

    def _post(self, event: "RunEvent") -> None:
        from openlineage.client.transport.http import HttpConfig, HttpTransport

        auth = {"type": "api_key", "apiKey": self._api_key} if self._api_key else {}
        retry = {"total": 0, "connect": 0, "read": 0, "status_forcelist": []}
        config = {"url": self._url, "timeout": PATIENCE_S, "retry": retry, "auth": auth}
        HttpTransport(HttpConfig.from_dict(config)).emit(event)
