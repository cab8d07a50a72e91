"""The executors of this component; what they compute is in modules that know nothing of the host."""

from apflow_plugin import Context, executor, export_executors

import date_calc
import text_stats


def define(module):
    @executor(
        module.ID,
        **module.DESCRIPTION,
        cancelable=True,
        idempotent=True,
        demo_result=lambda: module.execute(module.EXAMPLE),
    )
    def execute(inputs: dict, _ctx: Context) -> dict:
        return module.execute(inputs)

    return execute


Executor = export_executors(define(text_stats), define(date_calc))
