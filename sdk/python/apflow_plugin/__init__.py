"""Write plugins for apflow: executors do work, hooks decide, collectors measure.

What every plugin has is here. Each capability is a module of its own (`apflow_plugin.http`, `apflow_plugin.state`, …),
asked for in `[requests]` of plugin.toml. Import all of them at the top of modules: a component sees at run time only
what was imported while it was built.
"""

from . import log
from .collector import Measurement, export_collector
from .context import Context
from .executor import ExecutorDefinition, executor, export_executors
from .failure import BadInput, Cancelled, Failure, Permanent, Retryable
from .hook import Decision, Event, HookDefinition, Point, Subscription, export_hook, hook

__all__ = [
    "BadInput",
    "Cancelled",
    "Context",
    "Decision",
    "Event",
    "ExecutorDefinition",
    "Failure",
    "HookDefinition",
    "Measurement",
    "Permanent",
    "Point",
    "Retryable",
    "Subscription",
    "executor",
    "export_collector",
    "export_executors",
    "export_hook",
    "hook",
    "log",
]
