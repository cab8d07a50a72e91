"""What an executor knows about its call beside the inputs."""

import json
import sys
from typing import Any

from ._border import IN_COMPONENT, generated, text
from .failure import to_json

_progress = generated("imports.progress")


class Context:
    """One attempt at one task, without its inputs."""

    executor: str
    task_id: str
    tree_id: str
    #: From 1.
    attempt: int
    #: The same for every attempt at this task in one execution: give it to the outside world.
    idempotency_key: str
    #: How long this call may take, in seconds; None where there is no limit.
    timeout: float | None
    #: W3C `traceparent`, if the task is traced.
    trace_parent: str | None
    #: The task's params, without `executor_id`.
    params: dict[str, Any]

    def __init__(self, call: Any):
        self.executor = call.executor
        self.task_id = call.task_id
        self.tree_id = call.tree_id
        self.attempt = call.attempt
        self.idempotency_key = call.idempotency_key
        self.timeout = None if call.timeout_ms is None else call.timeout_ms / 1000
        self.trace_parent = call.trace_parent
        self.params = json.loads(call.params)

    def progress(self, fraction: float, message: str | None = None, partial: Any = None) -> None:
        """Reports that `fraction` (0 to 1) is done, with one short sentence and output that is already worth reading."""
        sentence = None if message is None else text(message)
        document = None if partial is None else to_json(partial, "partial output")
        if IN_COMPONENT:
            _progress.report(float(fraction), sentence, document)
        else:
            print(f"progress {fraction}: {sentence or ''} {document or ''}", file=sys.stderr)
