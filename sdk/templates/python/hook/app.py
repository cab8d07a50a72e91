"""A hook that fills in a region and keeps frozen tasks from running."""

from apflow_plugin import Decision, Event, export_hook, hook


@hook("task.before-run")
def decide(event: Event) -> Decision:
    subject = event.subject
    if (subject.get("metadata") or {}).get("frozen"):
        return Decision.veto("frozen", f"{subject['name']} is frozen; thaw it first")
    inputs = event.inputs or {}
    if "region" in inputs:
        return Decision.proceed()
    return Decision.replace_inputs(inputs | {"region": "eu"})


Hooks = export_hook(decide)
