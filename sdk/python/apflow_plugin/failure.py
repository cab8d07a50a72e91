"""Why a call did not give what it promises, and the one guard through which every export goes.

Whatever an author's code raises leaves the component as a typed failure: anything else would be a trap.
"""

import json
import traceback
from typing import Any, Callable, TypeVar

from . import log
from ._border import Err, millis, text, types

T = TypeVar("T")


class Failure(Exception):
    """A failure that says what the host shall do next. Raise one of the classes below.

    `code` is stable, lower case, words joined by `_`; `message` is one sentence with the field, the value and the remedy;
    further named arguments are more data for programs.
    """

    def __init__(self, code: str, message: str, pointer: str | None = None, **extra: Any):
        super().__init__(message)
        self.code = code
        self.message = message
        self.pointer = pointer
        self.extra = extra

    def to_wit(self) -> Any:
        return types.Failure_Permanent(self.issue())

    def issue(self) -> Any:
        pointer = None if self.pointer is None else text(self.pointer)
        return types.Issue(text(self.code), text(self.message), pointer, json.dumps(self.extra, default=str))


class BadInput(Failure):
    """The inputs break the executor's contract at `pointer` (RFC 6901). Never retried."""

    def to_wit(self) -> Any:
        return types.Failure_BadInput(self.issue())


class Retryable(Failure):
    """May pass if the call is made again, `after` so many seconds at the earliest. Retried as the task's policy says."""

    def __init__(self, code: str, message: str, after: float | None = None, **extra: Any):
        super().__init__(code, message, **extra)
        self.after = after

    def to_wit(self) -> Any:
        after_ms = None if self.after is None else millis(self.after)
        return types.Failure_Retryable(types.Retry(self.issue(), after_ms))


class Permanent(Failure):
    """Will fail again. Never retried."""


class Cancelled(Failure):
    """Stopped on request."""

    def __init__(self) -> None:
        super().__init__("cancelled", "cancelled")

    def to_wit(self) -> Any:
        return types.Failure_Cancelled()


def other_failure(code: str, document: str) -> Failure:
    """What an `other` case of a capability holds: a document with `code` and `message`, or plain text."""
    try:
        told = json.loads(document)
        return Permanent(str(told["code"]), str(told["message"]))
    except (ValueError, KeyError, TypeError):
        return Permanent(code, document)


def guarded(step: Callable[[], T]) -> T:
    """Runs a step of an export; only the contract's error may leave it."""
    try:
        return step()
    except Err:
        raise
    except Failure as failure:
        raise Err(failure.to_wit()) from None
    # SystemExit is no Exception, and would be a trap like any other.
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        log.error(traceback.format_exc())
        raise Err(Permanent("plugin_error", message).to_wit()) from None


def to_json(value: object, what: str) -> str:
    """JSON text of a value; what JSON cannot hold is a permanent failure that names `what`."""
    from .schema import plain

    try:
        return json.dumps(value, allow_nan=False, default=plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise Permanent("not_json", f"the {what} cannot be written as JSON: {error}") from None
