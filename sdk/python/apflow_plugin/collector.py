"""Components that measure: a class with `collect` and `render`. Its one object is the state."""

import json
from typing import Any, Protocol, Sequence

from ._border import generated, text
from .failure import guarded

_host = generated(
    "exports.collector",
    Measurement="kind sequence at tree_id task_id executor attempt duration_ms code extra",
)


class Measurement:
    """One finished attempt or tree."""

    #: `task.completed`, `task.failed`, `task.cancelled`, `task.retrying`, `tree.completed`, `tree.failed`, `tree.cancelled`.
    kind: str
    #: Number in the event log; a batch that is sent again carries the same numbers.
    sequence: int
    #: RFC 3339, UTC.
    at: str
    tree_id: str
    task_id: str | None
    executor: str | None
    #: From 1; 0 for trees.
    attempt: int
    #: In seconds.
    duration: float
    #: The error code, where it failed.
    code: str | None

    def __init__(self, measured: Any):
        for name in ("kind", "at", "tree_id", "task_id", "executor", "attempt", "code"):
            setattr(self, name, getattr(measured, name))
        self.sequence = int(measured.sequence)
        self.duration = measured.duration_ms / 1000
        self._receipt = measured.extra

    @property
    def receipt(self) -> dict[str, Any]:
        """CPU time, memory, bytes of the attempt."""
        return json.loads(self._receipt)


class CollectorClass(Protocol):
    """What `export_collector` takes: a class without arguments."""

    def collect(self, batch: Sequence[Measurement]) -> None:
        """Takes a batch. It comes at least once: after a failure the same sequence numbers come again."""

    def render(self) -> str:
        """The present figures for backends that pull; empty where there is nothing to pull."""


def export_collector(collector: type[CollectorClass]) -> type:
    """The class to keep as `Collector` in `app.py`. Its state lives as long as the host keeps the instance."""
    state = collector()

    class Collector:
        def collect(self, batch: list[Any]) -> None:
            guarded(lambda: state.collect([Measurement(one) for one in batch]))

        def render(self) -> str:
            return guarded(lambda: text(state.render()))

    return Collector
