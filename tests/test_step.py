"""
Steps of every kind: what may be decorated, what identifies a call, and what a rerun keeps.
"""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import cloudpickle
import pytest

from checkpoint import Step, checkpointed, current_run, errors, workflow
from checkpoint.stores import MemoryStore
from tests.conftest import Scripts


class Stop(Exception):
    """Leaves a block, so that its run can be continued."""


ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def twice(program: Callable[[], Any], between: Callable[[], Any] = lambda: None) -> tuple[Any, Any]:
    """Run a program in two sessions of one run; returns what it returned in each."""
    store = MemoryStore()
    results = []
    for _ in range(2):
        try:
            with workflow("steps", store=store, output="off"):
                results.append(program())
                raise Stop
        except Stop:
            between()
    return results[0], results[1]


@checkpointed
def double(number: int) -> int:
    """Double a number."""
    ran.append(number)
    return 2 * number


@checkpointed()
def triple(number: int) -> int:
    ran.append(number)
    return 3 * number


@checkpointed
async def quadruple(number: int) -> int:
    """Quadruple a number."""
    return 4 * number


class Task:
    """A class whose methods are steps, in both orders of the decorators."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @checkpointed
    def times(self, number: int) -> int:
        ran.append(("times", self.factor, number))
        return self.factor * number

    @checkpointed
    @classmethod
    def outer_class(cls, number: int) -> str:
        ran.append(("outer_class", number))
        return f"{cls.__name__} {number}"

    @classmethod
    @checkpointed
    def inner_class(cls, number: int) -> str:
        ran.append(("inner_class", number))
        return f"{cls.__name__} {number}"

    @checkpointed
    @staticmethod
    def outer_static(number: int) -> int:
        ran.append(("outer_static", number))
        return number

    @staticmethod
    @checkpointed
    def inner_static(number: int) -> int:
        ran.append(("inner_static", number))
        return number


class SubTask(Task):
    """A subclass, whose class methods are other calls."""


CALLS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "bare": (6, lambda: double(3)),
    "called": (9, lambda: triple(3)),
    "method": (6, lambda: Task(2).times(3)),
    "method taken from the class": (6, lambda: Task.times(Task(2), 3)),
    "classmethod outside": ("Task 3", lambda: Task.outer_class(3)),
    "classmethod inside": ("Task 3", lambda: Task.inner_class(3)),
    "classmethod outside, by an instance": ("Task 3", lambda: Task(2).outer_class(3)),
    "classmethod inside, by an instance": ("Task 3", lambda: Task(2).inner_class(3)),
    "staticmethod outside": (3, lambda: Task.outer_static(3)),
    "staticmethod inside": (3, lambda: Task.inner_static(3)),
    "staticmethod outside, by an instance": (3, lambda: Task(2).outer_static(3)),
    "staticmethod inside, by an instance": (3, lambda: Task(2).inner_static(3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_kept(name: str) -> None:
    """A step of any kind runs once in a run, and the rerun returns the same."""
    expected, call = CALLS[name]

    assert (expected, expected) == twice(call)
    assert 1 == len(ran)


@pytest.mark.parametrize("name", CALLS)
def test_runs_outside_a_workflow(name: str) -> None:
    """Outside every workflow a step is the function it was."""
    expected, call = CALLS[name]

    assert [expected, expected] == [call(), call()]
    assert 2 == len(ran)


def test_self_counts_by_value() -> None:
    """An instance is an argument like any other: an equal one is the same call, another one is not."""
    program = lambda: [Task(2).times(3), Task(5).times(3)]  # noqa: E731  # shortest where it is used
    twice(program)

    assert [("times", 2, 3), ("times", 5, 3)] == ran


def test_class_methods_of_subclasses_differ() -> None:
    """The class a class method is called on counts."""
    assert (["Task 1", "SubTask 1"],) * 2 == twice(lambda: [Task.outer_class(1), SubTask.outer_class(1)])
    assert 2 == len(ran)


def test_instance_and_class_call_agree() -> None:
    """`task.times(3)` and `Task.times(task, 3)` are equal calls."""
    store = MemoryStore()
    task = Task(2)
    for call in (lambda: task.times(3), lambda: Task.times(task, 3)):
        with pytest.raises(Stop), workflow("agree", store=store, output="off"):
            call()
            raise Stop

    assert [("times", 2, 3)] == ran


# What cannot be a step.


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


REFUSED = {
    "a generator function": generator,
    "an async generator function": async_generator,
    "a class": Task,
    "a property": property(lambda self: 1),
    "a builtin_function_or_method": len,
    "a partial": functools.partial(print, 1),
    "a str": "align",
    "is a step already": double,
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    """What cannot be a step is refused when it is decorated, by what it is."""
    said = "a generator function" if "generator" in what else what

    with pytest.raises(errors.UsageError, match=said) as caught:
        checkpointed(REFUSED[what])  # type: ignore[type-var]  # that is the point
    assert "not-a-step" == caught.value.slug
    assert REFUSED[what] is caught.value.value


def test_generator_method_is_refused() -> None:
    """A class method that yields is refused like a function."""
    with pytest.raises(errors.UsageError, match="generator function"):
        checkpointed(classmethod(generator))


@pytest.mark.parametrize(
    ("options", "slug"),
    [
        ({"name": ""}, "step-name"),
        ({"name": "  "}, "step-name"),
        ({"name": 3}, "step-name"),
        ({"key": 3}, "step-key"),
        ({"key": "number"}, "step-key"),
        ({"ignore": 3}, "unknown-ignore"),
        ({"ignore": ("client",)}, "unknown-ignore"),
        ({"ignore": "client"}, "unknown-ignore"),
    ],
)
def test_bad_options(options: dict[str, Any], slug: str) -> None:
    """An option that cannot be used is refused when the function is decorated."""
    with pytest.raises(errors.UsageError) as caught:
        checkpointed(**options)(lambda number: number)
    assert slug == caught.value.slug


def test_version_without_lasting_value() -> None:
    """A version that another process could not recognise is refused."""
    with pytest.raises(errors.FingerprintError, match="version") as caught:
        checkpointed(version=object())(lambda: 1)
    assert "version" == caught.value.argument


# What stays of the function.


def test_looks_like_the_function() -> None:
    """Name, docstring, module, signature and annotations are the function's own."""
    assert "double" == double.__name__
    assert "double" == double.__qualname__
    assert __name__ == double.__module__
    assert "Double a number." == double.__doc__
    assert "(number: 'int') -> 'int'" == str(inspect.signature(double))
    assert isinstance(double, Step)


def test_stays_a_coroutine_function() -> None:
    """Frameworks ask whether a function is a coroutine function; a step answers as its function does."""
    assert inspect.iscoroutinefunction(quadruple)
    assert not inspect.iscoroutinefunction(double)


def test_bound_signature_has_no_self() -> None:
    """The signature of a method taken from an instance begins after self."""
    assert ["number"] == list(inspect.signature(Task(2).times).parameters)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_pickled_by_reference(dumps: Callable[[Any], bytes]) -> None:
    """A step of a module comes back as the very same object."""
    assert double is pickle.loads(dumps(double))


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize(
    "taken",
    [
        lambda: Task(2).times,
        lambda: functools.partial(Task.times, Task(2)),
        lambda: Task.outer_class,
        lambda: Task.inner_class,
        lambda: Task.outer_static,
        lambda: Task.inner_static,
        lambda: Task(2).outer_class,
        lambda: Task(2).outer_static,
    ],
)
def test_methods_are_pickled(taken: Callable[[], Any], dumps: Callable[[Any], bytes]) -> None:
    """A step taken from an instance or a class works like the original after a round trip, and is still a step."""
    method = pickle.loads(dumps(taken()))

    assert taken()(3) == method(3)
    ran.clear()
    twice(lambda: method(3))
    assert 1 == len(ran)


def test_local_step_by_cloudpickle() -> None:
    """A step made inside a function is pickled by value and is a step again, under the same name and options."""

    @checkpointed(version=7, ignore=("where",))
    def local(number: int, where: object = None) -> int:
        return number

    found = pickle.loads(cloudpickle.dumps(local))

    assert isinstance(found, Step)
    assert (5, 5) == twice(lambda: found(5))
    assert local._self_definition.name == found._self_definition.name  # type: ignore[attr-defined]  # not public
    assert local._self_definition.version == found._self_definition.version  # type: ignore[attr-defined]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_are_the_step_itself(copied: Callable[[Any], Any]) -> None:
    """A step in a structure that is copied stays one step."""
    assert double is copied([double])[0]


POOL = """\
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
{imports}
from checkpoint import checkpointed, workflow
{step}

class Box:
    def __init__(self, n):
        self.n = n

    @checkpointed
    def plus(self, m):
        return self.n + m


if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool, workflow("pool"):
        print(list(pool.map(square, [1, 2, 3])), pool.submit(Box(4).plus, 5).result())
"""

STEP = """
@checkpointed
def square(n):
    return n * n
"""


@pytest.mark.process
@pytest.mark.parametrize("where", ["module", "__main__"])
def test_spawned_pool(scripts: Scripts, where: str) -> None:
    """Steps of a module, of the script and of its classes can be handed to a process pool, where they just run."""
    scripts.write("from checkpoint import checkpointed\n" + STEP, "squares.py")
    main = where == "__main__"
    source = POOL.format(imports="" if main else "from squares import square", step=STEP if main else "")
    done = scripts.run(scripts.write(source))

    assert ("[1, 4, 9] 9\n", 0) == (done.stdout, done.returncode), done.stderr


# Which call is which.


def test_ways_to_write_a_call() -> None:
    """Position or keyword, default given or left out: one call."""

    @checkpointed
    def add(a: int, b: int = 2) -> int:
        ran.append((a, b))
        return a + b

    store = MemoryStore()
    for call in (lambda: add(1), lambda: add(a=1), lambda: add(1, 2), lambda: add(b=2, a=1)):
        with pytest.raises(Stop), workflow("ways", store=store, output="off"):
            assert 3 == call()
            raise Stop
    assert [(1, 2)] == ran


def test_equal_calls_are_counted() -> None:
    """Equal calls in one session are calls of their own, and each keeps its own result."""

    @checkpointed
    def tick() -> int:
        ran.append(1)
        return len(ran)

    assert ([1, 2, 3], [1, 2, 3]) == twice(lambda: [tick(), tick(), tick()])


def test_reordered_calls_keep_their_own_results() -> None:
    """Results are found by the arguments, never by the position."""
    orders = iter([[1, 2, 3], [3, 4, 1]])

    assert ([2, 4, 6], [6, 8, 2]) == twice(lambda: [double(number) for number in next(orders)])
    assert [1, 2, 3, 4] == ran


def test_star_arguments() -> None:
    """`*args` count in order, `**kwargs` by name."""

    @checkpointed
    def gather(*args: int, **kwargs: int) -> Any:
        ran.append((args, kwargs))
        return [list(args), kwargs]

    twice(lambda: [gather(1, 2, a=3, b=4), gather(1, 2, b=4, a=3), gather(2, 1, a=3, b=4)])

    # The second is equal to the first, and so the second of two equal calls.
    assert [((1, 2), {"a": 3, "b": 4})] * 2 + [((2, 1), {"a": 3, "b": 4})] == ran


def test_ignored_parameters() -> None:
    """An ignored parameter may be anything and does not count."""

    @checkpointed(ignore=("client",))
    def fetch(url: str, client: object) -> str:
        ran.append(url)
        return url

    assert ("u", "u") == twice(lambda: fetch("u", object()))
    assert ["u"] == ran


def test_key_replaces_the_arguments() -> None:
    """What `key=` returns identifies the call, whatever the arguments are."""

    @checkpointed(key=lambda order: order["id"])
    def ship(order: dict[str, Any]) -> int:
        ran.append(order["id"])
        return int(order["id"])

    orders = iter([{"id": 7, "at": object()}, {"id": 7, "at": object()}])

    assert (7, 7) == twice(lambda: ship(next(orders)))
    assert [7] == ran


def make_priced(version: object) -> Callable[[], Any]:
    @checkpointed(name="price", version=version)
    def price() -> object:
        ran.append(version)
        return version

    return price


def test_version_makes_new_calls() -> None:
    """Another version runs again; the old one's result is still there for the old version."""
    versions = iter([1, 2, 1])
    store = MemoryStore()
    results = []
    for version in versions:
        with pytest.raises(Stop), workflow("priced", store=store, output="off"):
            results.append(make_priced(version)())
            raise Stop

    assert [1, 2, 1] == results
    assert [1, 2] == ran


def test_name_keeps_results_of_a_renamed_function() -> None:
    """With its old name given, a renamed function finds what was saved."""

    @checkpointed(name="align")
    def old() -> str:
        return "saved by the old"

    @checkpointed(name="align")
    def new() -> str:
        return "never run"

    steps = iter([old, new])

    assert ("saved by the old",) * 2 == twice(lambda: next(steps)())


def test_two_functions_of_one_name() -> None:
    """Two different functions under one name in one session are refused at the second's first call."""

    @checkpointed(name="align")
    def first() -> int:
        return 1

    @checkpointed(name="align")
    def second() -> int:
        return 2

    with workflow("clash", store=MemoryStore(), output="off"):
        assert 1 == first()
        with pytest.raises(errors.UsageError, match="align") as caught:
            second()
    assert "two-steps-one-name" == caught.value.slug


def make_adder(amount: int) -> Callable[[int], int]:
    @checkpointed
    def add(number: int) -> int:
        return number + amount

    return add


def test_closures_over_different_values() -> None:
    """One function made twice over different values would return the first's results for the second: refused."""
    with workflow("closures", store=MemoryStore(), output="off"):
        assert 3 == make_adder(2)(1)
        with pytest.raises(errors.UsageError, match="values that it closes over") as caught:
            make_adder(5)(1)
    assert "two-steps-one-name" == caught.value.slug


def test_closures_over_equal_values() -> None:
    """A function that is made again over equal values is the same step."""
    assert (3, 3) == twice(lambda: make_adder(2)(1))


def test_changed_argument_is_noticed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A step that changes its argument is told so by one note, however often it is called."""

    @checkpointed
    def fill(items: list[int]) -> int:
        items.append(1)
        return len(items)

    with workflow("changed", store=MemoryStore(), output="lines"):
        fill([])
        fill([5])
    assert 1 == capsys.readouterr().err.count("argument 'items' was changed by the step")


def test_edited_step_is_kept_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    """A result saved by other code is kept, and one note says so."""

    @checkpointed(name="edited")
    def before(number: int) -> int:
        return number

    @checkpointed(name="edited")
    def after(number: int) -> int:
        return number + 1000

    store = MemoryStore()
    results = []
    for step in (before, after):
        with pytest.raises(Stop), workflow("edit", store=store, output="lines"):
            results.append([step(1), step(2)])
            raise Stop

    assert [[1, 2], [1, 2]] == results
    assert 1 == capsys.readouterr().err.count("was edited after some of its steps were saved")


def test_argument_without_lasting_value() -> None:
    """An argument that a rerun could not recognise is refused before the step runs, with the path to it."""
    with workflow("lasting", store=MemoryStore(), output="off") as run:
        with pytest.raises(errors.FingerprintError) as caught:
            double({"deep": [object()]})  # type: ignore[arg-type]
        assert "0 steps" in repr(run)
    assert ("number", "number['deep'][0]") == (caught.value.argument, caught.value.path)
    assert [] == ran


def test_wrong_arguments() -> None:
    """A call that the function does not take raises the interpreter's own error."""
    with workflow("wrong", store=MemoryStore(), output="off"), pytest.raises(TypeError, match="number"):
        double()  # type: ignore[call-arg]


# Nested steps.


def test_nested_steps_are_kept_when_the_outer_was_cut() -> None:
    """An outer step that was cut runs again, and its inner steps that completed do not."""
    cut = iter([True, False])

    @checkpointed
    def outer() -> int:
        ran.append("outer")
        found = double(1) + double(2)
        if next(cut):
            raise Stop
        return found

    store = MemoryStore()
    with pytest.raises(Stop), workflow("nested", store=store, output="off"):
        outer()
    with workflow("nested", store=store, output="off"):
        assert 6 == outer()
    assert ["outer", 1, 2, "outer"] == ran


def test_completed_outer_step_is_kept_whole() -> None:
    """If the outer step completed, nothing inside it is called again."""

    @checkpointed
    def outer() -> int:
        ran.append("outer")
        return double(1)

    assert (2, 2) == twice(outer)
    assert ["outer", 1] == ran


def test_equal_calls_in_different_scopes() -> None:
    """A call inside a step and an equal one outside are two calls."""

    @checkpointed
    def outer() -> int:
        return double(1)

    assert ([2, 2], [2, 2]) == twice(lambda: [double(1), outer()])
    assert [1, 1] == ran


@checkpointed
def factorial(number: int) -> int:
    ran.append(number)
    return 1 if number == 0 else number * factorial(number - 1)


def test_recursion() -> None:
    """A step that calls itself is kept like any other."""
    assert (24, 24) == twice(lambda: factorial(4))
    assert [4, 3, 2, 1, 0] == ran


@checkpointed
def is_even(number: int) -> bool:
    ran.append(number)
    return number == 0 or is_odd(number - 1)


@checkpointed
def is_odd(number: int) -> bool:
    ran.append(number)
    return number != 0 and is_even(number - 1)


def test_mutual_recursion() -> None:
    """Steps that call each other are kept like any other."""
    assert (True, True) == twice(lambda: is_even(4))
    assert [4, 3, 2, 1, 0] == ran


# Failing steps.


def test_error_passes_unchanged() -> None:
    """What a step raises arrives as the same object, with the step's own frame in its traceback."""
    problem = ValueError("mine")

    @checkpointed
    def failing() -> None:
        raise problem

    with workflow("errors", store=MemoryStore(), output="off"), pytest.raises(ValueError) as caught:
        failing()
    assert problem is caught.value
    assert "failing" == caught.traceback[-1].name
    assert problem.__cause__ is problem.__context__ is None


def records(store: MemoryStore, name: str) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in store.read(name, store.runs(name)[0].id).splitlines()]


def test_attempts_are_numbered_across_sessions() -> None:
    """Each try at a call has a number of its own, which goes on in the next session."""
    outcomes = iter([ValueError, ValueError, None])

    @checkpointed
    def flaky() -> str:
        problem = next(outcomes)
        if problem is not None:
            raise problem
        return "done"

    store = MemoryStore()
    for _ in range(2):
        with pytest.raises(ValueError), workflow("flaky", store=store, output="off"):
            flaky()
    with workflow("flaky", store=store, output="off"):
        assert "done" == flaky()
    started = [record for record in records(store, "flaky") if record["kind"] == "started"]
    assert [1, 2, 3] == [record["attempt"] for record in started]
    assert 1 == len({record["key"] for record in started})


def test_retry_loop_finds_its_success_again() -> None:
    """Trying until it succeeds is many attempts at one call: the rerun returns the success at the first try."""
    outcomes = iter([False, False, True])

    @checkpointed
    def flaky() -> str:
        ran.append("try")
        if not next(outcomes):
            raise ValueError
        return "done"

    def program() -> str:
        for _ in range(5):
            try:
                return flaky()
            except ValueError:
                continue
        raise AssertionError("never succeeded")

    assert ("done", "done") == twice(program)
    assert 3 == len(ran)


def test_caught_failure_runs_again() -> None:
    """A failure is not an outcome: the rerun tries the failed call again, and keeps the rest."""
    fails = iter([True, False])

    @checkpointed
    def risky() -> str:
        ran.append("risky")
        if next(fails):
            raise ValueError
        return "fine"

    def program() -> list[Any]:
        try:
            found = risky()
        except ValueError:
            found = "failed"
        return [found, double(1)]

    assert (["failed", 2], ["fine", 2]) == twice(program)
    assert ["risky", 1, "risky"] == ran


def test_failure_is_recorded_with_its_traceback() -> None:
    """The journal has the error's type, message and frames, and no local variables."""

    @checkpointed
    def failing() -> None:
        secret = "hunter2"
        raise KeyError("which", len(secret))

    store = MemoryStore()
    with pytest.raises(KeyError), workflow("recorded", store=store, output="off"):
        failing()
    failed = next(record for record in records(store, "recorded") if record["kind"] == "failed" and "call" in record)
    assert "builtins.KeyError" == failed["error"]["type"]
    assert "('which', 7)" == failed["error"]["message"]
    assert "failing" in failed["error"]["traceback"][-1]
    assert "hunter2" not in str(failed)


def test_error_without_a_message() -> None:
    """An error whose own text cannot be made still passes through."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @checkpointed
    def failing() -> None:
        raise Odd

    with workflow("odd", store=MemoryStore(), output="off"), pytest.raises(Odd):
        failing()


def test_unsavable_result_is_an_error_at_once() -> None:
    """A value that cannot be saved is refused, is not lost, and the call is not completed."""
    thing = iter([1])

    @checkpointed
    def make() -> Any:
        return {"deep": thing if broken else 5}

    store = MemoryStore()
    broken = True
    with pytest.raises(errors.UnsavableError) as caught, workflow("unsavable", store=store, output="off"):
        make()
    assert {"deep": thing} == caught.value.value
    assert "result['deep']" == caught.value.path
    broken = False
    with workflow("unsavable", store=store, output="off"):
        assert {"deep": 5} == make()


def test_forgotten_call_in_doubt(capsys: pytest.CaptureFixture[str]) -> None:
    """A call that was cut short and never made again before the run finished is named by a note."""
    cut = iter([True])

    @checkpointed
    def work(name: str) -> None:
        if next(cut, False):
            raise KeyboardInterrupt

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt), workflow("doubt", store=store, output="off"):
        work("a")
    with workflow("doubt", store=store, output="lines"):
        work("b")
    assert "work('a') had been cut short and was not called again" in capsys.readouterr().err


def test_no_note_when_the_call_was_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A call that was cut short and then completed needs no note."""
    cut = iter([True])

    @checkpointed
    def work(name: str) -> None:
        if next(cut, False):
            raise KeyboardInterrupt

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt), workflow("doubt", store=store, output="off"):
        work("a")
    with workflow("doubt", store=store, output="lines"):
        work("a")
    assert "cut short" not in capsys.readouterr().err


def test_current_run_inside_a_step() -> None:
    """A step finds its run without being handed it."""

    @checkpointed
    def who() -> str:
        return current_run().id

    with workflow("who", store=MemoryStore(), output="off") as run:
        assert run.id == who()
