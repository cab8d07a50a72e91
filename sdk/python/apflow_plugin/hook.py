"""Components that decide: a decorated function hears of events and answers with a decision."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Literal, Sequence

from ._border import generated, millis
from .failure import BadInput, Failure, Permanent, guarded, to_json

_host = generated(
    "exports.hooks",
    Subscription="point executors extra",
    HookEvent="point at tree_id task_id executor attempt inputs outcome subject extra",
    Decision_Proceed="",
    Decision_ReplaceInputs="value",
    Decision_SupplyResult="value",
    Decision_DelayMs="value",
    Decision_Veto="value",
)

Point = Literal[
    "tree.created", "tree.started", "tree.completed", "tree.failed",
    "task.ready", "task.before-run", "task.after-run",
    "webhook.verify", "placement",
]  # fmt: skip


@dataclass(frozen=True)
class Subscription:
    """A point to hear of, for all tasks or for those of some executors."""

    point: Point
    executors: Sequence[str] = ()


class Event:
    """Something that happened or is about to. Documents are read when they are asked for."""

    point: Point
    #: RFC 3339, UTC.
    at: str
    tree_id: str
    task_id: str | None
    executor: str | None
    #: From 1; 0 where there is no attempt.
    attempt: int

    def __init__(self, event: Any):
        self._event = event
        for name in ("point", "at", "tree_id", "task_id", "executor", "attempt"):
            setattr(self, name, getattr(event, name))

    @cached_property
    def inputs(self) -> dict[str, Any] | None:
        """The resolved inputs, at `task.before-run` and `task.after-run`."""
        return _document(self._event.inputs, "inputs")

    @cached_property
    def outcome(self) -> dict[str, Any] | None:
        """At `task.after-run`: `status`, `result` or `error`, `duration_ms`."""
        return _document(self._event.outcome, "outcome")

    @cached_property
    def subject(self) -> dict[str, Any]:
        """Name, owner, params, priority and metadata of the task, or of the root at points of a tree."""
        return _document(self._event.subject, "subject") or {}


def _document(text: str | None, name: str) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise BadInput("invalid_json", f"the event's {name} are no JSON: {error}") from None


class Decision:
    """What the host shall do. Where a point cannot honour a decision, the decision is a failure of the hook."""

    def __init__(self, case: str, *value: Any):
        self.case = case
        self.value = value

    @classmethod
    def proceed(cls) -> "Decision":
        """Go on; at every point. So does a hook that returns nothing."""
        return cls("Proceed")

    @classmethod
    def replace_inputs(cls, inputs: dict[str, Any]) -> "Decision":
        """Run with these inputs instead; at `task.before-run`."""
        return cls("ReplaceInputs", to_json(inputs, "inputs"))

    @classmethod
    def supply_result(cls, result: Any) -> "Decision":
        """Do not run; this is the result; at `task.before-run`."""
        return cls("SupplyResult", to_json(result, "result"))

    @classmethod
    def delay(cls, seconds: float) -> "Decision":
        """Run later, in so many seconds at the earliest; at `task.ready` and `task.before-run`."""
        return cls("DelayMs", millis(seconds))

    @classmethod
    def veto(cls, code: str, message: str, **extra: Any) -> "Decision":
        """Refuse, with a reason; at `tree.created`, `task.before-run`, `webhook.verify` and `placement`."""
        return cls("Veto", Failure(code, message, **extra).issue())

    def to_wit(self) -> Any:
        return getattr(_host, f"Decision_{self.case}")(*self.value)


class HookDefinition:
    """A hook: the function, which can be called as before, and what it wants to hear of."""

    def __init__(self, function: Callable[[Event], Decision | None], subscriptions: Sequence[Subscription]):
        self.function = function
        self.subscriptions = subscriptions

    def __call__(self, event: Event) -> Decision | None:
        return self.function(event)

    def decide(self, event: Any) -> Any:
        decision = self.function(Event(event))
        if decision is not None and not isinstance(decision, Decision):
            raise Permanent("plugin_error", "the hook gave no decision: return a `Decision`, or nothing to proceed")
        return (decision or Decision.proceed()).to_wit()


def hook(*subscriptions: Subscription | Point) -> Callable[[Callable[[Event], Decision | None]], HookDefinition]:
    """Makes a function `(event) -> Decision | None` a hook that hears of these points."""
    heard = [one if isinstance(one, Subscription) else Subscription(one) for one in subscriptions]
    return lambda function: HookDefinition(function, heard)


def export_hook(definition: HookDefinition) -> type:
    """The class to keep as `Hooks` in `app.py`."""

    class Hooks:
        def subscriptions(self) -> list[Any]:
            return guarded(lambda: [_host.Subscription(one.point, list(one.executors), "{}") for one in definition.subscriptions])

        def on_event(self, event: Any) -> Any:
            return guarded(lambda: definition.decide(event))

    return Hooks
