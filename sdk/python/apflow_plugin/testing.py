"""Calling what a plugin exports in a unit test under plain python3, through the same code as in a component.

There is no host: logs go to standard error and capabilities fail with `no_host`.
"""

import json
from typing import Any

from ._border import types
from .collector import Measurement, _host as _collector
from .context import Context
from .executor import ExecutorDefinition
from .hook import Event, Point, _host as _hooks


def call(executor: ExecutorDefinition, inputs: Any, params: dict[str, Any] | None = None) -> Any:
    """Runs an executor once, JSON in and JSON out; its failures are raised."""
    return json.loads(executor.run(_invocation(executor.id, inputs, params)))


def context(params: dict[str, Any] | None = None) -> Context:
    """A context: task `test-task`, tree `test-tree`, first attempt, no timeout."""
    return Context(_invocation("test_executor", {}, params))


def event(
    point: Point,
    *,
    inputs: Any = None,
    outcome: Any = None,
    subject: Any = None,
    executor: str | None = None,
    attempt: int = 1,
) -> Event:
    """An event for a hook."""
    documents = [None if value is None else json.dumps(value) for value in (inputs, outcome)]
    told = ["test-tree", "test-task", executor, attempt, *documents, json.dumps(subject or {}), "{}"]
    return Event(_hooks.HookEvent(point, "2026-01-01T00:00:00Z", *told))


def measurement(
    kind: str = "task.completed",
    *,
    sequence: int = 1,
    executor: str | None = None,
    duration: float = 0,
    code: str | None = None,
    receipt: Any = None,
) -> Measurement:
    """A measurement for a collector; `duration` in seconds."""
    told = ["test-tree", "test-task", executor, 1, duration * 1000, code, json.dumps(receipt or {})]
    return Measurement(_collector.Measurement(kind, str(sequence), "2026-01-01T00:00:00Z", *told))


def _invocation(executor: str, inputs: Any, params: dict[str, Any] | None) -> Any:
    return types.Invocation(
        executor=executor,
        task_id="test-task",
        tree_id="test-tree",
        attempt=1,
        idempotency_key="test-key",
        timeout_ms=None,
        inputs=json.dumps(inputs),
        params=json.dumps(params or {}),
        trace_parent=None,
        extra="{}",
    )
