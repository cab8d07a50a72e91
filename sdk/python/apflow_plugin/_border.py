"""The generated bindings, or what stands in for them where there is no host: in unit tests under plain python3.

A component's bindings hold only what its world names, so every module of this package asks here for its own part.
"""

from dataclasses import make_dataclass
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

IN_COMPONENT = find_spec("wit_world") is not None

if IN_COMPONENT:
    Err: Any = import_module("componentize_py_types").Err
else:

    class Err(Exception):  # type: ignore[no-redef]
        """Stands in for `componentize_py_types.Err`."""

        def __init__(self, value: Any):
            super().__init__(value)
            self.value = value


def generated(module: str, **records: str) -> Any:
    """A module of the bindings; where the world does not have it, one with plain records of these fields."""
    try:
        return import_module(f"wit_world.{module}")
    except ModuleNotFoundError:
        return SimpleNamespace(**{name: make_dataclass(name, fields.split()) for name, fields in records.items()})


def capability(name: str) -> Any:
    """The imports of a capability; where the world does not have it, every call is a failure that says why."""
    try:
        return import_module(f"wit_world.imports.{name}")
    except ModuleNotFoundError:
        return _Missing(name)


class _Missing:
    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, member: str) -> Any:
        from .failure import Permanent

        def refuse(*_args: Any, **_named: Any) -> Any:
            if IN_COMPONENT:
                message = f"this component does not import `{self._name}`; ask for it in [requests] of plugin.toml and build anew"
                raise Permanent("not_imported", message)
            raise Permanent("no_host", f"`{self._name}` exists only inside a host; test the parts that do not need it")

        return refuse


types = generated(
    "imports.types",
    Issue="code message pointer extra",
    Retry="issue after_ms",
    Failure_BadInput="value",
    Failure_Retryable="value",
    Failure_Permanent="value",
    Failure_Cancelled="",
    Failure_Other="value",
    Invocation="executor task_id tree_id attempt idempotency_key timeout_ms inputs params trace_parent extra",
)


def text(value: object) -> str:
    """Half of a surrogate pair, which JSON can spell but UTF-8 cannot hold, must not reach the border."""
    return str(value).encode(errors="replace").decode()


def millis(seconds: float) -> int:
    """Whole milliseconds that the contract can hold, rounded up."""
    return max(0, min(-int(-seconds * 1000 // 1), 0xFFFF_FFFF))
