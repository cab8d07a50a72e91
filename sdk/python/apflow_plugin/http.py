"""Outgoing HTTP. Needs the `http` grant for every address; the host checks each request and each redirect."""

import json as jsonlib
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Iterable, Mapping

from ._border import capability, millis
from ._refused import asked, variant
from .failure import Permanent, to_json

_host = capability("http")
_error = variant("http", ["timeout", "connect"])

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass
class Head:
    """Status and headers of a response."""

    status: int
    #: Where it came from, after redirects.
    url: str
    #: Names in lower case, in the order received.
    headers: list[tuple[str, str]]

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first header of this name, in any case."""
        return next((value for known, value in self.headers if known == name.lower()), None)


@dataclass
class Response(Head):
    """A whole response."""

    body: bytes

    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become U+FFFD."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON; one that does not fit is a permanent failure, code `invalid_response`."""
        try:
            return jsonlib.loads(self.body)
        except ValueError as error:
            message = f"{self.url} answered {self.status} with a body that does not fit: {error}"
            raise Permanent("invalid_response", message) from None


class StreamedResponse(Head):
    """A response whose body is read piece by piece; use it in `with`."""

    def __init__(self, head: Any, body: Any):
        super().__init__(head.status, head.url, list(head.headers))
        self._body = body

    def read(self, max: int = 65536) -> bytes | None:
        """The next piece, at most `max` bytes; None at the end."""
        return asked(_error, lambda: self._body.read(max))

    def trailers(self) -> list[tuple[str, str]]:
        """The trailers, after the end was read."""
        return asked(_error, lambda: self._body.trailers())

    def __enter__(self) -> "StreamedResponse":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._body.__exit__(kind, error, trace)


def send(method: str, url: str, **options: Any) -> Response:
    """Sends and waits for the whole response, whatever its status.

    `headers` (a dict or pairs), `body` (bytes or text), `json` (a value), `timeout` (seconds), `max_redirects` (10; 0
    gives the redirect itself). Raises a `Failure` if there is no response.
    """
    given = asked(_error, lambda: _host.send(_request(method, url, **options)))
    return Response(given.head.status, given.head.url, list(given.head.headers), given.body)


def send_streamed(method: str, url: str, **options: Any) -> StreamedResponse:
    """Sends and returns as soon as the headers are there; options as of `send`."""
    given = asked(_error, lambda: _host.send_streamed(_request(method, url, **options)))
    return StreamedResponse(given.head, given.body)


def get(url: str, **options: Any) -> Response:
    """A GET request; options as of `send`."""
    return send("GET", url, **options)


def post(url: str, **options: Any) -> Response:
    """A POST request; options as of `send`."""
    return send("POST", url, **options)


def _request(
    method: str,
    url: str,
    *,
    headers: Pairs = (),
    body: bytes | str = b"",
    json: Any = None,
    timeout: float | None = None,
    max_redirects: int = 10,
) -> Any:
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if json is not None:
        body = to_json(json, "request body")
        if all(name.lower() != "content-type" for name, _ in pairs):
            pairs.append(("content-type", "application/json"))
    content = body.encode() if isinstance(body, str) else body
    return _host.Request(method, url, pairs, content, None if timeout is None else millis(timeout), max_redirects, "{}")
