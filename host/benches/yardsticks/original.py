"""apflow 0.18.2, the Python original: how long a tree of independent tasks and a chain of tasks take it, on a DuckDB file.

python original.py TASKS
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
import time

folder = tempfile.TemporaryDirectory(prefix="apflow-original-")
os.chdir(folder.name)
os.environ["DATABASE_URL"] = f"duckdb:///{folder.name}/bench.duckdb"
logging.disable(logging.CRITICAL)

from apflow import executor_register  # noqa: E402
from apflow.core.base.base_task import BaseTask  # noqa: E402
from apflow.core.execution.task_executor import TaskExecutor  # noqa: E402
from apflow.core.storage import create_session  # noqa: E402
from apflow.core.storage.sqlalchemy.models import Base  # noqa: E402


@executor_register()
class Nothing(BaseTask):
    id = "nothing"
    name = "nothing"
    description = "Does nothing"

    async def execute(self, inputs):
        return {}

    def get_input_schema(self):
        return {"type": "object"}

    def get_output_schema(self):
        return {"type": "object"}


def task(run, i, before=None):
    """The task number i of a run; 0 is the root."""
    made = {"id": f"{run}-{i}", "name": f"{run}-{i}", "user_id": "bench", "schemas": {"method": "nothing"}}
    made["params"] = {"executor_id": "nothing"}
    if i > 0:
        made["parent_id"] = f"{run}-0"
    if before is not None:
        made["dependencies"] = [{"id": f"{run}-{before}", "required": True}]
    return made


def flat(run, tasks):
    return [task(run, i) for i in range(tasks)]


def chain(run, tasks):
    """Each after the one before; the root is the last."""
    return [task(run, i, i + 1 if i + 1 < tasks else None) for i in range(tasks)]


async def seconds(tasks, session):
    began = time.perf_counter()
    ended = await TaskExecutor().execute_tasks(tasks, require_existing_tasks=False, db_session=session)
    took = time.perf_counter() - began
    if ended.get("status") != "completed":
        raise SystemExit(f"the tree is {ended}")
    return took


async def main(tasks):
    session = create_session(os.environ["DATABASE_URL"])
    Base.metadata.create_all(session.get_bind())
    await seconds(flat("warm-up", 2), session)
    tree = await seconds(flat("flat", tasks), session)
    steps = await seconds(chain("chain", tasks), session)
    print(json.dumps({"tree": tree * 1000 / tasks, "chain": steps * 1000 / tasks}))


asyncio.run(main(int(sys.argv[1])))
