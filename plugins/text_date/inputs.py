"""Reading inputs: one accessor per kind of value, each of which names the field, the value and the remedy.

The executors' own modules use it; nothing here knows the host, so plain `python3` can test it.
"""

import json

from apflow_plugin import BadInput


def invalid(name: str, value: object, remedy: str) -> BadInput:
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return BadInput("invalid_input", f"`{name}` is {shown}: {remedy}", f"/{name}")


def text(inputs: dict, name: str) -> str:
    if name not in inputs:
        raise BadInput("missing_input", f"`{name}` is missing: give a string", f"/{name}")
    if not isinstance(inputs[name], str):
        raise invalid(name, inputs[name], "give a string")
    return inputs[name]


def whole(inputs: dict, name: str, default: int | None, low: int, high: int) -> int:
    """A whole number from `low` to `high`; a missing one is `default`, or an error if that is None."""
    value = inputs.get(name, default)
    if value is None:
        raise BadInput("missing_input", f"`{name}` is missing: give a whole number", f"/{name}")
    if type(value) is not int or not low <= value <= high:
        raise invalid(name, value, f"give a whole number from {low} to {high}")
    return value


def texts(inputs: dict, name: str) -> list[str]:
    """A list of strings; a missing one is empty."""
    value = inputs.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(name, value, "give a list of strings")
    return value
