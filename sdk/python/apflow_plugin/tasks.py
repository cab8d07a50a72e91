"""Child tasks. Needs the `tasks` grant."""

import json
from typing import Any, Sequence

from ._border import capability
from ._refused import asked, failed
from .failure import to_json

_host = capability("tasks")


def submit(tree: Sequence[dict[str, Any]], idempotency_key: str) -> str:
    """Submits a tree (task objects) as children of the running task; gives the root's id. The same key, the same tree."""
    document = to_json(tree, "tree")
    return asked(failed, lambda: _host.submit(document, idempotency_key))


def await_result(root_id: str) -> dict[str, Any]:
    """Waits for a submitted tree: `status`, `result`, `error`."""
    return json.loads(asked(failed, lambda: _host.await_result(root_id)))
