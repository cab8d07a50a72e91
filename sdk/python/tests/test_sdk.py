"""The package under plain python3, where there is no host: `python3 -m unittest discover -s tests`."""

import enum
import json
import sys
import unittest
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

sys.path.insert(0, str(Path(__file__).parent.parent))

import apflow_plugin as apflow
from apflow_plugin import BadInput, Cancelled, Context, Decision, Failure, Permanent, Retryable, Subscription, http, schema, state, testing
from apflow_plugin._border import Err, millis
from apflow_plugin._refused import asked, failed, variant
from apflow_plugin._border import types as wit


class Tone(enum.Enum):
    LOUD = "loud"
    SOFT = "soft"


class Address(TypedDict):
    city: str


@dataclass
class Greet:
    name: Annotated[str, "Whom to greet.", {"minLength": 1}]
    times: Annotated[int, {"minimum": 1}] = 1
    tone: Tone = Tone.SOFT
    tags: list[str] = field(default_factory=list)
    address: Address | None = None
    mood: Literal["good", "bad"] = "good"
    weight: float = 0


@dataclass
class Greeting:
    text: str


@apflow.executor("greet_executor", tags=["greeting"], examples=[{"name": "Ada"}], demo_result=Greeting("Hello!"))
def greet(inputs: Greet, ctx: Context) -> Greeting:
    """Greets."""
    ctx.progress(0.5, "half way", [1])
    return Greeting(f"Hello, {inputs.name}, {inputs.times} times{ctx.params.get('mark', '.')}")


@apflow.executor("broken_executor")
def broken(inputs: dict, ctx: Context) -> Any:
    raise {
        "plain": ZeroDivisionError("by nothing"),
        "exit": SystemExit(3),
        "half": Permanent("half", "\ud800"),
        "later": Retryable("busy", "the till is in use", 1.5002, seat=3),
        "input": BadInput("negative", "give 0 or more", "/amount"),
        "stop": Cancelled(),
    }[inputs["how"]]


Executor = apflow.export_executors(greet, broken)


class Executors(unittest.TestCase):
    def fails(self, executor: str, inputs: Any) -> Any:
        call = testing._invocation(executor, inputs, None)
        with self.assertRaises(Err) as caught:
            Executor().execute(call)
        return caught.exception.value

    def test_they_describe_themselves(self):
        info = Executor().describe()[0]
        self.assertEqual((info.name, info.description, info.demo_result), ("greet_executor", "Greets.", '{"text": "Hello!"}'))
        inputs = json.loads(info.input_schema)
        self.assertEqual(inputs["required"], ["name"])
        self.assertEqual(inputs["properties"]["name"], {"type": "string", "description": "Whom to greet.", "minLength": 1})
        self.assertEqual(inputs["properties"]["times"], {"type": "integer", "minimum": 1, "default": 1})
        self.assertEqual(inputs["properties"]["tone"], {"enum": ["loud", "soft"], "default": "soft"})
        self.assertEqual(inputs["properties"]["tags"], {"type": "array", "items": {"type": "string"}, "default": []})
        self.assertEqual(inputs["properties"]["address"]["anyOf"][1], {"type": "null"})
        self.assertEqual(json.loads(info.output_schema)["required"], ["text"])

    def test_they_work_from_json_to_json(self):
        self.assertEqual(testing.call(greet, {"name": "Ada"}, {"mark": "!"}), {"text": "Hello, Ada, 1 times!"})
        self.assertEqual(greet(Greet("Bo", 2), testing.context()).text, "Hello, Bo, 2 times.")

    def test_what_does_not_fit_names_the_place(self):
        for inputs, pointer in [
            ({}, "/name"),
            ({"name": 3}, "/name"),
            ({"name": "a", "times": True}, "/times"),
            ({"name": "a", "times": 1.5}, "/times"),
            ({"name": "a", "tags": ["b", 1]}, "/tags/1"),
            ({"name": "a", "address": {"city": 1}}, "/address/city"),
            ({"name": "a", "tone": "harsh"}, "/tone"),
            ({"name": "a", "mood": "odd"}, "/mood"),
            ([], ""),
        ]:
            with self.subTest(inputs=inputs):
                failure = self.fails("greet_executor", inputs)
                self.assertIsInstance(failure, wit.Failure_BadInput)
                self.assertEqual(failure.value.pointer, pointer)
        read = schema.read(Greet, {"name": "a", "weight": 2, "times": 3.0, "tone": "loud", "address": {"city": "Rome"}})
        self.assertEqual((read.weight, read.times, read.tone, read.address), (2.0, 3, Tone.LOUD, {"city": "Rome"}))

    def test_everything_that_is_raised_is_a_typed_failure(self):
        failure = self.fails("broken_executor", {"how": "plain"})
        self.assertEqual((failure.value.code, failure.value.message), ("plugin_error", "ZeroDivisionError: by nothing"))
        self.assertEqual(self.fails("broken_executor", {"how": "exit"}).value.code, "plugin_error")
        self.assertEqual(self.fails("broken_executor", {"how": "half"}).value.message, "?")
        later = self.fails("broken_executor", {"how": "later"}).value
        self.assertEqual((later.after_ms, later.issue.extra), (1501, '{"seat": 3}'))
        self.assertEqual(self.fails("broken_executor", {"how": "input"}).value.pointer, "/amount")
        self.assertIsInstance(self.fails("broken_executor", {"how": "stop"}), wit.Failure_Cancelled)
        self.assertEqual(self.fails("other", {}).value.code, "unknown_executor")

    def test_results_that_json_cannot_hold_are_refused(self):
        for value in (float("nan"), object(), {1j: 1}):
            @apflow.executor("odd_executor")
            def odd(inputs: dict, ctx: Context, value=value) -> Any:
                return value

            with self.assertRaises(Permanent) as caught:
                testing.call(odd, {})
            self.assertEqual(caught.exception.code, "not_json")

    def test_definitions_are_checked_while_building(self):
        with self.assertRaises(ValueError):
            apflow.executor("Greet")(lambda inputs, ctx: None)
        with self.assertRaises(TypeError):

            @apflow.executor("greet")
            def no_schema(inputs: complex, ctx: Context) -> None: ...


class Hooks(unittest.TestCase):
    def test_they_hear_and_decide(self):
        @apflow.hook(Subscription("task.before-run", ["a"]), "tree.created")
        def decide(event: apflow.Event) -> Any:
            if event.point == "tree.created":
                return None
            n = (event.inputs or {})["n"]
            if n == 0:
                return "proceed"
            return Decision.veto("too_many", "give at most 9") if n > 9 else Decision.replace_inputs({"n": n * 2})

        hooks = apflow.export_hook(decide)()
        self.assertEqual([(one.point, one.executors) for one in hooks.subscriptions()], [("task.before-run", ["a"]), ("tree.created", [])])

        def on(point, **told):
            return hooks.on_event(testing.event(point, **told)._event)

        self.assertEqual(type(on("tree.created")).__name__, "Decision_Proceed")
        self.assertEqual(on("task.before-run", inputs={"n": 4}).value, '{"n": 8}')
        self.assertEqual(on("task.before-run", inputs={"n": 10}).value.code, "too_many")
        for inputs in ({"n": 0}, {}):
            with self.assertRaises(Err) as caught:
                on("task.before-run", inputs=inputs)
            self.assertEqual(caught.exception.value.value.code, "plugin_error")
        self.assertEqual(Decision.delay(0.0001).to_wit().value, 1)


class Collectors(unittest.TestCase):
    def test_state_lives_from_batch_to_batch(self):
        class Sum:
            def __init__(self):
                self.seconds = 0.0

            def collect(self, batch):
                self.seconds += sum(one.duration * one.receipt.get("times", 1) for one in batch)

            def render(self):
                return f"sum {self.seconds}\n"

        collector = apflow.export_collector(Sum)()
        fresh = testing._collector.Measurement
        one = fresh("task.completed", "7", "", "t", None, None, 1, 2000.0, None, "{}")
        two = fresh("task.completed", "8", "", "t", None, None, 1, 500.0, None, '{"times": 2}')
        collector.collect([one, two])
        self.assertEqual(collector.render(), "sum 3.0\n")
        self.assertEqual(testing.measurement(duration=2).duration, 2)


class Capabilities(unittest.TestCase):
    def test_outside_a_component_they_say_so(self):
        for call in (lambda: http.get("http://h/"), lambda: state.put("k", 1)):
            with self.assertRaises(Permanent) as caught:
                call()
            self.assertEqual(caught.exception.code, "no_host")

    def test_errors_of_the_host_become_failures(self):
        class HttpError_ProhibitedAddress:
            value = "10.0.0.1 is not public"

        class NetError_Closed:
            pass

        class HttpError_Other:
            value = '{"code": "budget", "message": "20 are enough"}'

        def thrown(convert, error) -> Failure:
            def step():
                raise Err(error)

            with self.assertRaises(Failure) as caught:
                asked(convert, step)
            return caught.exception

        self.assertEqual(thrown(variant("http", []), HttpError_ProhibitedAddress()).code, "http_prohibited_address")
        closed = thrown(variant("net", ["closed"]), NetError_Closed())
        self.assertIsInstance(closed, Retryable)
        self.assertEqual(thrown(variant("http", []), HttpError_Other()).code, "budget")
        busy = wit.Failure_Retryable(wit.Retry(wit.Issue("busy", "", None, "{}"), 5))
        self.assertEqual(thrown(failed, busy).after, 0.005)
        self.assertIsInstance(thrown(failed, wit.Failure_BadInput(wit.Issue("x", "", "/a", "{}"))), Permanent)

    def test_times_are_rounded_up(self):
        self.assertEqual([millis(value) for value in (0, 0.0001, 0.03, 1e12, -1)], [0, 1, 30, 0xFFFF_FFFF, 0])


if __name__ == "__main__":
    unittest.main()
