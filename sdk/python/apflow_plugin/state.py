"""Key-value state of this plugin, shared by its instances and kept over restarts. Needs the `state` grant."""

import json
from dataclasses import dataclass
from typing import Any

from ._border import capability
from ._refused import asked, refused
from .failure import to_json

_host = capability("state")


@dataclass
class Entry:
    """A value and its version, which changes with every write."""

    value: Any
    version: str


def get(key: str) -> Entry | None:
    """Reads a key; None if it is not set."""
    entry = asked(refused, lambda: _host.get(key))
    return None if entry is None else Entry(json.loads(entry.value), entry.version)


def put(key: str, value: Any) -> None:
    """Writes a key whatever is there."""
    document = to_json(value, f"value of `{key}`")
    asked(refused, lambda: _host.put(key, document))


def remove(key: str) -> None:
    """Removes a key."""
    asked(refused, lambda: _host.put(key, None))


def compare_and_set(key: str, expected: str | None, value: Any) -> bool:
    """Writes only if the version is still `expected` (None: only if the key is not set). Says whether it did."""
    document = to_json(value, f"value of `{key}`")
    return asked(refused, lambda: _host.compare_and_set(key, expected, document))


def compare_and_remove(key: str, expected: str) -> bool:
    """Removes only if the version is still `expected`. Says whether it did."""
    return asked(refused, lambda: _host.compare_and_set(key, expected, None))
