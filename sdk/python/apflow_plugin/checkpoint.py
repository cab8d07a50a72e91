"""Where a later attempt goes on. Every executor has it; there is nothing to ask for."""

import json
from typing import Any

from ._border import capability
from ._refused import asked, refused
from .failure import to_json

_host = capability("checkpoint")


def load() -> Any:
    """The newest checkpoint of this task; None if there is none."""
    document = asked(refused, lambda: _host.load())
    return None if document is None else json.loads(document)


def save(data: Any) -> None:
    """Replaces the checkpoint. It is durable when this returns."""
    document = to_json(data, "checkpoint")
    asked(refused, lambda: _host.save(document))
