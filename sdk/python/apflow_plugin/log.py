"""Lines for the host's log. The host adds plugin, task and attempt, and limits the number and length of lines a call.

In unit tests, where there is no host, they go to standard error.
"""

import sys

from ._border import IN_COMPONENT, generated, text

_host = generated("imports.log")


def _write(level: str, message: str) -> None:
    if IN_COMPONENT:
        _host.write(level, text(message))
    else:
        print(level, message, file=sys.stderr)


def trace(message: str) -> None:
    """Every step."""
    _write("trace", message)


def debug(message: str) -> None:
    """For authors of plugins."""
    _write("debug", message)


def info(message: str) -> None:
    """For operators."""
    _write("info", message)


def warn(message: str) -> None:
    """Something is not as it should be, and the work goes on."""
    _write("warn", message)


def error(message: str) -> None:
    """The work does not go on."""
    _write("error", message)
