"""An executor that greets people by name."""

from dataclasses import dataclass
from typing import Annotated

from apflow_plugin import BadInput, Context, executor, export_executors, log


@dataclass
class Inputs:
    """What a task gives; the host checks it against the schema that is made of this class."""

    names: Annotated[list[str], "Whom to greet."]
    greeting: Annotated[str, "How to greet."] = "Hello"


@dataclass
class Greetings:
    greetings: list[str]


@executor("{{ident}}", idempotent=True, examples=[{"names": ["Ada"]}])
def greet(inputs: Inputs, ctx: Context) -> Greetings:
    """Greets people by name."""
    greetings = []
    for at, name in enumerate(inputs.names):
        if not name:
            raise BadInput("empty_name", f"names/{at} is empty; say whom to greet", f"/names/{at}")
        greetings.append(f"{inputs.greeting}, {name}!")
        ctx.progress((at + 1) / len(inputs.names), f"greeted {name}")
    log.info(f"greeted {len(greetings)} people for {ctx.task_id}")
    return Greetings(greetings)


Executor = export_executors(greet)
