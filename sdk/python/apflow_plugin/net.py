"""Byte streams to named peers, with TLS on the host's side. Needs the `net` grant for `host:port`."""

from types import TracebackType
from typing import Any

from ._border import capability, millis
from ._refused import asked, variant

_host = capability("net")
_error = variant("net", ["timeout", "connect", "closed"])


class Connection:
    """An open stream; use it in `with`."""

    def __init__(self, inner: Any):
        self._inner = inner

    def read(self, max: int = 65536, timeout: float | None = None) -> bytes | None:
        """The next bytes, at most `max`; None when the peer has closed. Waits at most `timeout` seconds."""
        limit = None if timeout is None else millis(timeout)
        return asked(_error, lambda: self._inner.read(max, limit))

    def write(self, data: bytes | str) -> None:
        """Writes all of `data`."""
        content = data.encode() if isinstance(data, str) else data
        asked(_error, lambda: self._inner.write(content))

    def finish(self) -> None:
        """Closes the sending side."""
        asked(_error, lambda: self._inner.finish())

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._inner.__exit__(kind, error, trace)


def connect(host: str, port: int, *, tls: bool = False, timeout: float | None = None) -> Connection:
    """Opens a stream; with `tls` the host speaks it and checks the certificate against `host`."""
    limit = None if timeout is None else millis(timeout)
    return Connection(asked(_error, lambda: _host.connect(_host.Peer(host, port, tls, limit, "{}"))))
