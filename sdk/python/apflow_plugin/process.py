"""Programs of the host's machine. Needs the `process` grant for exactly this program; there is no shell."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Mapping, Sequence

from ._border import capability, millis
from ._refused import asked, variant

_host = capability("process")
_error = variant("process", ["timeout"])


@dataclass
class Finished:
    """How a program ended."""

    #: The exit code; None where a signal ended it.
    code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    #: Whether output over the limit was cut off.
    truncated: bool

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with code 0."""
        return self.code == 0

    @property
    def output(self) -> str:
        """Standard output as text."""
        return self.stdout.decode(errors="replace")

    @property
    def errors(self) -> str:
        """Standard error as text."""
        return self.stderr.decode(errors="replace")


class Child:
    """A running program; use it in `with`: at the end one that still runs is killed."""

    def __init__(self, inner: Any):
        self._inner = inner

    def read_stdout(self, max: int = 65536) -> bytes | None:
        """The next bytes, at most `max`; None at the end."""
        return asked(_error, lambda: self._inner.read_stdout(max))

    def read_stderr(self, max: int = 65536) -> bytes | None:
        """The next bytes, at most `max`; None at the end."""
        return asked(_error, lambda: self._inner.read_stderr(max))

    def write_stdin(self, data: bytes | str) -> int:
        """Gives the number of bytes taken."""
        return asked(_error, lambda: self._inner.write_stdin(_bytes(data)))

    def close_stdin(self) -> None:
        asked(_error, lambda: self._inner.close_stdin())

    def wait(self) -> Finished:
        """Waits for the end; holds the output that was not read."""
        return _finished(asked(_error, lambda: self._inner.wait()))

    def kill(self) -> None:
        asked(_error, lambda: self._inner.kill())

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._inner.__exit__(kind, error, trace)


def run(program: str, args: Sequence[object] = (), **options: Any) -> Finished:
    """Runs to the end and gives all output, whatever the exit code.

    `env` (a dict), `cwd` (a granted folder), `stdin` (bytes or text), `timeout` (seconds).
    """
    return _finished(asked(_error, lambda: _host.run(_command(program, args, **options))))


def start(program: str, args: Sequence[object] = (), **options: Any) -> Child:
    """Starts and returns at once; options as of `run`."""
    return Child(asked(_error, lambda: _host.start(_command(program, args, **options))))


def _command(
    program: str,
    args: Sequence[object],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes | str = b"",
    timeout: float | None = None,
) -> Any:
    words, variables = [str(arg) for arg in args], list((env or {}).items())
    return _host.Command(program, words, variables, cwd, _bytes(stdin), None if timeout is None else millis(timeout), "{}")


def _finished(given: Any) -> Finished:
    return Finished(given.code, given.signal, given.stdout, given.stderr, given.truncated)


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data
