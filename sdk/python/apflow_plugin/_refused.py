"""Errors of capabilities as failures. An import raises `Err` with the contract's error as its `value`."""

import json
import re
from typing import Any, Callable, Sequence, TypeVar

from ._border import Err
from .failure import Cancelled, Failure, Permanent, Retryable, other_failure

T = TypeVar("T")


def asked(convert: Callable[[Any], Failure], call: Callable[[], T]) -> T:
    """Calls an import; its error becomes what `convert` makes of it."""
    try:
        return call()
    except Err as error:
        raise convert(error.value) from None


def variant(prefix: str, retryable: Sequence[str]) -> Callable[[Any], Failure]:
    """For errors that are variants: `retryable` are the cases that may pass by themselves."""

    def convert(error: Any) -> Failure:
        # The class of a case is called `HttpError_ProhibitedAddress`.
        case = re.sub("(?<!^)(?=[A-Z])", "_", type(error).__name__.split("_")[-1]).lower()
        message = getattr(error, "value", "the stream is closed")
        if case == "other":
            return other_failure(f"{prefix}_error", message)
        kind = Retryable if case in retryable else Permanent
        return kind(f"{prefix}_{case}", message)

    return convert


def refused(issue: Any) -> Failure:
    """For errors that are one issue: a missing grant does not pass by itself."""
    failure = Permanent(issue.code, issue.message, issue.pointer)
    failure.extra = json.loads(issue.extra or "{}")
    return failure


def failed(error: Any) -> Failure:
    """For errors that are failures themselves. What is bad about a child's inputs is no bad input of this task."""
    case = type(error).__name__
    if case == "Failure_Cancelled":
        return Cancelled()
    if case == "Failure_Other":
        return other_failure("tasks_error", error.value)
    if case != "Failure_Retryable":
        return refused(error.value)
    issue, after_ms = error.value.issue, error.value.after_ms
    failure = Retryable(issue.code, issue.message, None if after_ms is None else after_ms / 1000)
    failure.extra = json.loads(issue.extra or "{}")
    return failure
