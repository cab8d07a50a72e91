"""One executor that uses every part of the SDK; `tests/suite/languages.rs` compares its answers with the other languages'."""

from typing import Any, Callable

from apflow_plugin import BadInput, Cancelled, Context, Permanent, Retryable, checkpoint, executor, export_executors
from apflow_plugin import http, log, net, process, secrets, state, system, tasks


def all_of(read: Callable[[], bytes | None]) -> str:
    pieces = []
    while (piece := read()) is not None:
        pieces.append(piece)
    return b"".join(pieces).decode()


def context(inputs: dict, ctx: Context) -> Any:
    ctx.progress(0.5, "half way", {"so": "far"})
    log.info(f"surface speaks of {ctx.task_id}")
    named = "" not in (ctx.task_id, ctx.tree_id, ctx.idempotency_key)
    return {"executor": ctx.executor, "attempt": ctx.attempt, "params": ctx.params, "named": named}


def post(inputs: dict, ctx: Context) -> Any:
    answer = http.post(inputs["url"], headers={"x-color": "blue"}, json={"n": 1}, timeout=5)
    return {"status": answer.status, "ok": answer.ok, "kind": answer.header("Content-Type"), "body": answer.json()}


def stream(inputs: dict, ctx: Context) -> Any:
    with http.send_streamed("GET", inputs["url"]) as answer:
        body = all_of(lambda: answer.read(7))
        return {"status": answer.status, "body": body, "trailers": len(answer.trailers())}


def programs(inputs: dict, ctx: Context) -> Any:
    whole = process.run("cat", stdin="äb")
    with process.start("cat") as child:
        taken = child.write_stdin("talk")
        child.close_stdin()
        said = all_of(child.read_stdout)
        ended = child.wait()
    failed = process.run("false")
    ok = [whole.ok, failed.ok]
    return {"output": whole.output, "taken": taken, "said": said, "code": ended.code, "failed": failed.code, "ok": ok}


def talk(inputs: dict, ctx: Context) -> Any:
    with net.connect(inputs["host"], inputs["port"], timeout=5) as connection:
        connection.write("ping")
        connection.finish()
        return {"said": all_of(lambda: connection.read(100, timeout=5))}


def machine(inputs: dict, ctx: Context) -> Any:
    memory = system.memory()
    fits = memory.total > memory.available > 0
    return {"threads": system.cpu().threads > 0, "memory": fits, "disks": isinstance(system.disks(), list)}


def secret(inputs: dict, ctx: Context) -> Any:
    token = secrets.placeholder("token")
    answer = http.get(inputs["url"], headers={"authorization": f"Bearer {token}"})
    return {"hidden": "sesame" not in token, "answer": answer.json()}


def keep(inputs: dict, ctx: Context) -> Any:
    state.put("k", {"n": 1})
    entry = state.get("k")
    assert entry is not None
    wrong = state.compare_and_set("k", "no version", {"n": 2})
    right = state.compare_and_set("k", entry.version, {"n": 3})
    changed = state.get("k")
    state.remove("k")
    return {
        "first": entry.value, "wrong": wrong, "right": right, "value": changed and changed.value,
        "gone": state.get("k") is None, "created": state.compare_and_set("k", None, 1),
    }


def children(inputs: dict, ctx: Context) -> Any:
    tree = [{"name": "child", "executor": "echo", "inputs": {"n": 7}}]
    root = tasks.submit(tree, ctx.idempotency_key)
    end = tasks.await_result(root)
    return {"status": end["status"], "result": end["result"], "again": tasks.submit(tree, ctx.idempotency_key) == root}


def go_on(inputs: dict, ctx: Context) -> Any:
    seen = checkpoint.load()
    if ctx.attempt == 1:
        checkpoint.save({"page": 3})
        raise Retryable("again", "the second half comes later", 0.001)
    return {"attempt": ctx.attempt, "seen": seen}


def bad_input(inputs: dict, ctx: Context) -> Any:
    raise BadInput("negative", "amount is -1; give 0 or more", "/amount", limit=0)


def permanent(inputs: dict, ctx: Context) -> Any:
    raise Permanent("over_limit", "no more than 1000")


def cancelled(inputs: dict, ctx: Context) -> Any:
    raise Cancelled()


def mistake(inputs: dict, ctx: Context) -> Any:
    return 1 // len({})


def denied(inputs: dict, ctx: Context) -> Any:
    return http.get(inputs["url"]).status


ACTIONS = {
    "context": context, "http": post, "stream": stream, "process": programs, "net": talk, "system": machine,
    "secret": secret, "state": keep, "tasks": children, "checkpoint": go_on, "bad_input": bad_input,
    "permanent": permanent, "cancelled": cancelled, "mistake": mistake, "denied": denied,
}  # fmt: skip


@executor(
    "surface_python",
    input_schema={"type": "object", "properties": {"do": {"enum": list(ACTIONS)}}, "required": ["do"]},
)
def surface(inputs: dict, ctx: Context) -> Any:
    return ACTIONS[inputs["do"]](inputs, ctx)


Executor = export_executors(surface)
