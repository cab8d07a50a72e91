"""Components that do work: a decorated function is an executor, and `export_executors` makes the export of them."""

import inspect
import json
import re
import typing
from typing import Any, Callable, Mapping, Sequence

from . import schema
from ._border import generated
from .context import Context
from .failure import BadInput, guarded, to_json

_host = generated(
    "exports.executor",
    ExecutorInfo="id name description tags examples input_schema output_schema cancelable idempotent demo_result extra",
)


class ExecutorDefinition:
    """An executor: the function, which can be called as before, and what the host learns about it."""

    def __init__(self, function: Callable[..., Any], id: str, about: dict[str, Any]):
        if not re.fullmatch("[a-z0-9_]{1,100}", id):
            raise ValueError(f"an executor's id is {id!r}; give 1 to 100 of a-z, 0-9 and _")
        hints = typing.get_type_hints(function, include_extras=True)
        given = next(iter(inspect.signature(function).parameters))
        self.function = function
        self.id = id
        self.input_type = hints.get(given, dict)
        self.about = about
        self.input_schema = about["input_schema"] or schema.of(self.input_type)
        self.output_schema = about["output_schema"] or schema.of(hints.get("return", Any))

    def __call__(self, inputs: Any, context: Context) -> Any:
        return self.function(inputs, context)

    def run(self, call: Any) -> str:
        """One attempt, from JSON text to JSON text."""
        try:
            inputs = json.loads(call.inputs)
        except ValueError as error:
            raise BadInput("invalid_json", f"the inputs are no JSON: {error}") from None
        value = self.function(schema.read(self.input_type, inputs), Context(call))
        return to_json(value, f"result of `{self.id}`")

    def info(self) -> Any:
        about = self.about
        demo = about["demo_result"]
        demo = demo() if callable(demo) else demo
        return _host.ExecutorInfo(
            id=self.id,
            name=about["name"] or self.id,
            description=about["description"] or inspect.getdoc(self.function) or "",
            tags=list(about["tags"]),
            examples=[to_json(example, "example") for example in about["examples"]],
            input_schema=to_json(schema.DIALECT | dict(self.input_schema), "input schema"),
            output_schema=to_json(schema.DIALECT | dict(self.output_schema), "output schema"),
            cancelable=about["cancelable"],
            idempotent=about["idempotent"],
            demo_result=None if demo is None else to_json(demo, "demo result"),
            extra="{}",
        )


def executor(
    id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Sequence[str] = (),
    examples: Sequence[Any] = (),
    input_schema: Mapping[str, Any] | None = None,
    output_schema: Mapping[str, Any] | None = None,
    cancelable: bool = False,
    idempotent: bool = False,
    demo_result: Any = None,
) -> Callable[[Callable[..., Any]], ExecutorDefinition]:
    """Makes a function `(inputs, context) -> result` an executor.

    The type of `inputs` is the contract: its JSON Schema is shown to users and checked by the host before each call, and
    the function gets a value of it. Without one it is a `dict`. `input_schema` and `output_schema` say it by hand.
    `id` is what tasks name; the description is the docstring if it is left out. `demo_result` may be a function.
    """
    about = {key: value for key, value in locals().items() if key != "id"}
    return lambda function: ExecutorDefinition(function, id, about)


def export_executors(*definitions: ExecutorDefinition) -> type:
    """The class to keep as `Executor` in `app.py`: all executors of this component."""
    by_id = {definition.id: definition for definition in definitions}

    def run(call: Any) -> str:
        if call.executor not in by_id:
            message = f"this component holds no executor `{call.executor}`; load the plugin that describes it"
            raise BadInput("unknown_executor", message)
        return by_id[call.executor].run(call)

    class Executor:
        def describe(self) -> list[Any]:
            return guarded(lambda: [definition.info() for definition in definitions])

        def execute(self, call: Any) -> str:
            return guarded(lambda: run(call))

    return Executor
