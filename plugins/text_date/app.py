"""The component's border: the exports of `apflow:plugin/executor`, JSON text to values and back, errors to failures.

Every import stands at the top of a module: a component sees at run time only what was imported while it was built.
"""

import json
from typing import Callable, TypeVar

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.executor import ExecutorInfo
from wit_world.imports.types import Failure_BadInput, Failure_Permanent, Invocation, Issue

import date_calc
import text_stats
from inputs import BadInput

EXECUTORS = {module.ID: module for module in (text_stats, date_calc)}
SCHEMA_DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
T = TypeVar("T")


class Executor(exports.Executor):
    def describe(self) -> list[ExecutorInfo]:
        return guarded(lambda: [info(module) for module in EXECUTORS.values()])

    def execute(self, call: Invocation) -> str:
        return guarded(lambda: run(call))


def run(call: Invocation) -> str:
    module = EXECUTORS.get(call.executor)
    if module is None:
        message = f"this component has no executor `{call.executor}`, only {', '.join(EXECUTORS)}"
        raise failure(Failure_BadInput, "unknown_executor", message, None)
    return to_json(module.execute(json.loads(call.inputs)))


def info(module) -> ExecutorInfo:
    said = module.DESCRIPTION
    return ExecutorInfo(
        id=module.ID,
        name=said["name"],
        description=said["description"],
        tags=said["tags"],
        examples=[to_json(example) for example in said["examples"]],
        input_schema=to_json(SCHEMA_DIALECT | said["input_schema"]),
        output_schema=to_json(SCHEMA_DIALECT | said["output_schema"]),
        cancelable=True,
        idempotent=True,
        demo_result=to_json(module.execute(module.EXAMPLE)),
        extra="{}",
    )


def guarded(step: Callable[[], T]) -> T:
    """Only `Err` may leave an export; any other exception would take the whole instance down."""
    try:
        return step()
    except Err:
        raise
    except BadInput as error:
        raise failure(Failure_BadInput, error.code, error.message, error.pointer) from None
    except Exception as error:
        raise failure(Failure_Permanent, "plugin_error", f"{type(error).__name__}: {error}", None) from None


def failure(kind: type, code: str, message: str, pointer: str | None) -> Err:
    # Half of a surrogate pair, which JSON can spell but UTF-8 cannot hold, must not reach the border.
    return Err(kind(Issue(code, message.encode(errors="replace").decode(), pointer, "{}")))


def to_json(value: object) -> str:
    return json.dumps(value, allow_nan=False)
