"""
The pytest plugin: no test reaches the developer's runs, fixtures come when asked for, and nothing is loaded before.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import checkpoint

# pytester forgets the modules that a run inside of a test has imported: all of ours must be there before, or others
# would meet a second copy of them later.
for found in pkgutil.walk_packages(checkpoint.__path__, "checkpoint."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)

GUARDED = ("CHECKPOINT_HOME", "CHECKPOINT_KEY_FILE", "CHECKPOINT_OUTPUT")
SWEEP = ("CHECKPOINT_SWEEP_SAMPLE", "CHECKPOINT_SWEEP_SEED", "CHECKPOINT_SWEEP_POINT")

# A test that opens a workflow, and one whose result takes a key to be read again.
USES_A_WORKFLOW = """
from checkpoint import checkpointed, workflow

class Opaque:
    def __reduce__(self):
        return Opaque, ()

@checkpointed
def make():
    return Opaque()

def test_workflow():
    for _ in range(2):
        with workflow("align", once=True):
            assert isinstance(make(), Opaque)
"""

WRITES_ENVIRONMENT = """
import os

def write(name):
    with open(name, "w") as file:
        file.write(os.environ["CHECKPOINT_HOME"])
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home that the developer's shell has exported, which must stay as it is: not there."""
    mine = tmp_path / "mine"
    monkeypatch.setenv("CHECKPOINT_HOME", str(mine / "home"))
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(mine / "key"))
    monkeypatch.delenv("CHECKPOINT_OUTPUT")
    return mine


def run_tests(pytester: pytest.Pytester, source: str, *options: str, conftest: str | None = None) -> pytest.RunResult:
    """Run a file of tests in this process, as pytest would run it."""
    pytester.makepyfile(source)
    if conftest is not None:
        pytester.makeconftest(conftest)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error", "--strict-markers", *options)


def test_entry_point() -> None:
    """pytest finds the plugin by itself, under a name by which it can be switched off."""
    (found,) = [entry for entry in entry_points(group="pytest11") if entry.name == "checkpoint"]

    assert "checkpoint.pytest_plugin" == found.value


# --- the guard -----------------------------------------------------------------------------------------------------


def test_home_of_the_developer_is_left_alone(pytester: pytest.Pytester, mine: Path) -> None:
    """A test that asks for no fixture does not reach the runs and the key of whoever started pytest."""
    run_tests(pytester, USES_A_WORKFLOW).assert_outcomes(passed=1)

    assert not mine.exists()


def test_without_the_plugin_it_is_not(pytester: pytest.Pytester, mine: Path) -> None:
    """Switched off, the plugin does nothing: the test above would fail without it."""
    run_tests(pytester, USES_A_WORKFLOW, "-p", "no:checkpoint").assert_outcomes(passed=1)

    assert (mine / "home").is_dir()


@pytest.mark.process
def test_child_processes(pytester: pytest.Pytester, mine: Path) -> None:
    """What a test starts is guarded too."""
    source = """
import subprocess, sys
def test_child():
    subprocess.run([sys.executable, "-c", "from checkpoint import workflow\\nwith workflow('a'): pass"], check=True)
"""
    run_tests(pytester, source).assert_outcomes(passed=1)

    assert not mine.exists()


@pytest.mark.parametrize("place", ["conftest", "module"])
def test_imports(pytester: pytest.Pytester, mine: Path, place: str) -> None:
    """What runs while tests are collected, before any fixture, is guarded too."""
    opens = "from checkpoint import workflow\nwith workflow('a'): pass\n"
    test = "def test(): pass\n"
    source, conftest = (test, opens) if place == "conftest" else (opens + test, None)
    run_tests(pytester, source, conftest=conftest).assert_outcomes(passed=1)

    assert not mine.exists()


def test_fixtures_of_a_session(pytester: pytest.Pytester, mine: Path) -> None:
    """What runs in fixtures that outlive a test is guarded too, from its beginning to its end."""
    conftest = """
import pytest
from checkpoint import workflow

@pytest.fixture(scope="session", autouse=True)
def whole():
    with workflow("a"):
        yield
"""
    run_tests(pytester, "def test_one(): pass\ndef test_two(): pass", conftest=conftest).assert_outcomes(passed=2)

    assert not mine.exists()


def test_each_test_has_its_own_home(pytester: pytest.Pytester) -> None:
    """No test meets the runs of another: a workflow of the same name begins anew."""
    source = """
import os, pytest
from checkpoint import workflow
seen = set()

@pytest.mark.parametrize("number", range(3))
def test(number):
    seen.add((os.environ["CHECKPOINT_HOME"], os.environ["CHECKPOINT_KEY_FILE"]))
    assert len(seen) == number + 1
    with pytest.raises(ZeroDivisionError), workflow("align") as run:
        assert not run.resumed
        1 / 0
"""
    run_tests(pytester, source).assert_outcomes(passed=3)


def test_unittest_and_doctest(pytester: pytest.Pytester, mine: Path) -> None:
    """Tests that are no functions of pytest's are guarded the same way."""
    source = '''
"""
>>> from checkpoint import workflow
>>> with workflow("a") as run: run.resumed
False
"""
import unittest
from checkpoint import workflow

class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with workflow("b"): pass
    def test(self):
        with workflow("a") as run: self.assertFalse(run.resumed)
'''
    run_tests(pytester, source, "--doctest-modules").assert_outcomes(passed=2)

    assert not mine.exists()


def test_output_is_off(pytester: pytest.Pytester, mine: Path) -> None:
    """Workflows of tests say nothing on stderr."""
    source = "import os\ndef test(): assert os.environ['CHECKPOINT_OUTPUT'] == 'off'"

    run_tests(pytester, source).assert_outcomes(passed=1)


def test_nothing_is_made_without_need(pytester: pytest.Pytester) -> None:
    """A test run that opens no workflow leaves no directory, not even for a moment."""
    source = """
import os, pathlib
def test():
    assert not pathlib.Path(os.environ["CHECKPOINT_HOME"]).parents[1].exists()
"""
    run_tests(pytester, source).assert_outcomes(passed=1)


def test_nothing_remains(pytester: pytest.Pytester) -> None:
    """What tests have left in their homes is removed at the end."""
    run_tests(pytester, f"{WRITES_ENVIRONMENT}{USES_A_WORKFLOW}    write('home')").assert_outcomes(passed=1)
    home = Path((pytester.path / "home").read_text())

    assert home.parents[1].name.startswith("checkpoint-tests-")
    assert not home.parents[1].exists()


@pytest.mark.parametrize("before", [None, "mine"])
def test_environment_is_put_back(
    pytester: pytest.Pytester, before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the run the environment is what it was."""
    for name in (*GUARDED, *SWEEP):
        monkeypatch.delenv(name, raising=False)
        if before is not None:
            monkeypatch.setenv(name, before)
    options = ("--checkpoint-sweep=3", "--checkpoint-seed=4", "--checkpoint-point=5")
    run_tests(pytester, USES_A_WORKFLOW, *options).assert_outcomes(passed=1)

    assert [before] * 6 == [os.environ.get(name) for name in (*GUARDED, *SWEEP)]


@pytest.mark.parametrize("conftest", ["1 / 0", "def pytest_configure(): 1 / 0"])
def test_environment_is_put_back_after_a_false_start(pytester: pytest.Pytester, mine: Path, conftest: str) -> None:
    """The environment is put back also if pytest gives up before the first test."""
    before = dict(os.environ)
    # pytest reports the first and raises the second, which is the hook's, into its caller.
    with suppress(ZeroDivisionError):
        run_tests(pytester, "def test(): pass", conftest=conftest)

    assert before == dict(os.environ)


# --- a user's own choice -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_fixture_of_the_user(pytester: pytest.Pytester, scope: str) -> None:
    """A home that a user's own fixture has chosen stays chosen, for as long as the fixture lives."""
    conftest = f"""
import pytest
@pytest.fixture(scope={scope!r}, autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHECKPOINT_HOME", "chosen")
        yield
"""
    source = """
import os
def test_one(): assert os.environ["CHECKPOINT_HOME"] == "chosen"
def test_two(): assert os.environ["CHECKPOINT_HOME"] == "chosen"
"""
    run_tests(pytester, source, conftest=conftest).assert_outcomes(passed=2)


def test_after_the_fixture_of_the_user(pytester: pytest.Pytester) -> None:
    """When the user's fixture is over, tests have homes of their own again."""
    source = """
import os
homes = []
def test_one(monkeypatch):
    homes.append(os.environ["CHECKPOINT_HOME"])
    monkeypatch.setenv("CHECKPOINT_HOME", "chosen")
def test_two():
    assert os.environ["CHECKPOINT_HOME"] not in ("chosen", *homes)
"""
    run_tests(pytester, source).assert_outcomes(passed=2)


@pytest.mark.parametrize("hook", ["", "def pytest_configure():\n    "])
def test_conftest_of_the_user(pytester: pytest.Pytester, hook: str) -> None:
    """A home that a conftest.py sets when it is imported, or in a hook, is left alone."""
    conftest = f"import os\n{hook}os.environ['CHECKPOINT_HOME'] = 'chosen'"
    source = "import os\ndef test(): assert os.environ['CHECKPOINT_HOME'] == 'chosen'"

    run_tests(pytester, source, conftest=conftest).assert_outcomes(passed=1)


# --- several processes ---------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="needs pytest-xdist")
def test_workers_of_xdist(pytester: pytest.Pytester, mine: Path) -> None:
    """Each worker has a directory of its own, and the options reach it."""
    source = f"""{WRITES_ENVIRONMENT}
import pytest
{USES_A_WORKFLOW}
@pytest.mark.parametrize("number", range(6))
def test(number, worker_id):
    write(f"{{worker_id}}-{{number}}")
    assert os.environ["CHECKPOINT_SWEEP_SAMPLE"] == "3"
    test_workflow()
"""
    done = run_tests(pytester, source, "-n", "2", "--dist", "each", "--checkpoint-sweep=3")
    done.assert_outcomes(passed=14)
    homes = {path.name: Path(path.read_text()) for path in pytester.path.glob("gw*-*")}

    assert 12 == len(set(homes.values()))
    assert 2 == len({home.parents[1] for home in homes.values()})
    assert not mine.exists()
    assert not [home for home in homes.values() if home.parents[1].exists()]


# --- what it costs -------------------------------------------------------------------------------------------------


def test_nothing_is_loaded_without_need(pytester: pytest.Pytester) -> None:
    """A run that uses no fixture of ours has loaded two modules of ours, and none that they would need."""
    conftest = """
import sys
def pytest_sessionfinish():
    ours = [name for name in sys.modules if name.split(".")[0] in ("checkpoint", "wrapt", "cloudpickle")]
    print("\\nloaded:", sorted(ours))
"""
    pytester.makepyfile("def test(): pass")
    pytester.makeconftest(conftest)
    done = pytester.runpytest_subprocess("-s", "-p", "no:cacheprovider")

    done.stdout.fnmatch_lines(["loaded: [[]'checkpoint', 'checkpoint.pytest_plugin'[]]"])


def test_imports_nothing_that_pytest_has_not(pytester: pytest.Pytester) -> None:
    """Importing the plugin after pytest imports the package and the plugin alone."""
    script = pytester.makepyfile(
        look="""
import sys, pytest
before = set(sys.modules)
import checkpoint.pytest_plugin
print(sorted(set(sys.modules) - before))
"""
    )
    done = pytester.runpython(script)

    assert ["['checkpoint', 'checkpoint.pytest_plugin']"] == done.outlines


# --- options and help ----------------------------------------------------------------------------------------------


def test_options(pytester: pytest.Pytester) -> None:
    """The options for sweeps reach the sweep through the environment."""
    source = f"import os\ndef test(): assert [os.environ[name] for name in {SWEEP}] == ['50', '-7', '37+12']"
    options = ("--checkpoint-sweep=50", "--checkpoint-seed=-7", "--checkpoint-point=37+12")

    run_tests(pytester, source, *options).assert_outcomes(passed=1)


def test_without_options(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an option the variable is as the shell has it."""
    for name, value in zip(SWEEP, ("20", None, None), strict=True):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    source = f"import os\ndef test(): assert [os.environ.get(name) for name in {SWEEP}] == ['20', None, None]"

    run_tests(pytester, source).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--checkpoint-sweep=0", "*'0' is no number of points; give 1 or more*"),
        ("--checkpoint-sweep=many", "*'many' is no number of points*"),
        ("--checkpoint-seed=x", "*--checkpoint-seed*invalid int value: 'x'*"),
        ("--checkpoint-point=37+", "*'37+' is no point of a sweep; give a number such as 37, or 37+12*"),
        ("--checkpoint-point=-3", "*'-3' is no point of a sweep*"),
        ("--checkpoint-nonsense=1", "*unrecognized arguments: --checkpoint-nonsense=1*"),
    ],
)
def test_wrong_options(pytester: pytest.Pytester, option: str, message: str) -> None:
    """An option that means nothing is refused before any test runs."""
    done = run_tests(pytester, "def test(): pass", option)

    assert pytest.ExitCode.USAGE_ERROR == done.ret
    done.stderr.fnmatch_lines([message])


def test_help(pytester: pytest.Pytester) -> None:
    """`pytest --help` has our options in a group of their own."""
    done = run_tests(pytester, "", "--help")

    done.stdout.fnmatch_lines(
        [
            "checkpoint: crash tests of workflows:",
            "*--checkpoint-sweep=N*",
            "*--checkpoint-seed=S*",
            "*--checkpoint-point=P*",
        ]
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("store", "*own, with questions: `.run(*`*"),
        ("crash", "*Crash a workflow at one place: `with checkpoint_crash.after(*`*"),
        ("sweep", "*Crash a workflow at every point there is, resume it, and compare*"),
        ("process", "*Run a script in a process of its own, which can be signalled and killed*"),
        ("replay", "*Resume a run that is kept in the repository with today's code*"),
    ],
)
def test_fixtures_are_explained(pytester: pytest.Pytester, name: str, text: str) -> None:
    """`pytest --fixtures` says of each fixture what it is for and how it is used."""
    done = run_tests(pytester, "", "--fixtures")

    done.stdout.fnmatch_lines([f"checkpoint_{name} -- *", text])


def test_no_other_names(pytester: pytest.Pytester) -> None:
    """All fixtures bear the library's name, so that they are in nobody's way."""
    done = run_tests(pytester, "", "--fixtures", "-q")
    ours = [line.split(" ")[0] for line in done.outlines if "checkpoint/pytest_plugin.py" in line]

    assert ["store", "crash", "sweep", "process", "replay"] == [name.removeprefix("checkpoint_") for name in ours]


# --- fixtures ------------------------------------------------------------------------------------------------------


def test_store(pytester: pytest.Pytester) -> None:
    """`checkpoint_store` is an entered sandbox: the test's workflows are found in it, and damaged."""
    source = """
import pytest
from checkpoint import workflow
from checkpoint.errors import DamagedRunError
from checkpoint.testing import Sandbox

def test(checkpoint_store: Sandbox, tmp_path):
    with workflow("align") as run:
        run.state["n"] = 1
    assert checkpoint_store.run("align").state == {"n": 1}
    assert tmp_path not in checkpoint_store.home.parents and [] == [*tmp_path.iterdir()]
    checkpoint_store.damage("align", "flip")
    with pytest.raises(DamagedRunError), workflow("align", once=True):
        pass
"""
    run_tests(pytester, source).assert_outcomes(passed=1)


def test_store_gives_way(pytester: pytest.Pytester) -> None:
    """A test after one with `checkpoint_store` has a home of its own again."""
    source = """
import os
homes = []
def test_one(checkpoint_store): homes.append(str(checkpoint_store.home))
def test_two(): assert os.environ["CHECKPOINT_HOME"] not in homes
"""
    run_tests(pytester, source).assert_outcomes(passed=2)


@pytest.mark.process
def test_process(pytester: pytest.Pytester) -> None:
    """`checkpoint_process` starts scripts, and what still runs when the test is over, or has failed, is ended."""
    pytester.makepyfile(
        script="""
import time
from checkpoint import workflow
with workflow("align"):
    while True:
        time.sleep(0.01)
"""
    )
    source = """
def test(checkpoint_process):
    process = checkpoint_process("script.py").until(saved=0)
    with open("pid", "w") as file:
        file.write(str(process.pid))
    assert False
"""
    run_tests(pytester, source).assert_outcomes(failed=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int((pytester.path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("fixture", "expected"),
    [
        ("checkpoint_crash", "isinstance(it, testing.Crashes)"),
        ("checkpoint_sweep", "it is testing.sweep"),
        ("checkpoint_replay", "it is testing.replay"),
    ],
)
def test_thin_fixtures(pytester: pytest.Pytester, fixture: str, expected: str) -> None:
    """The other fixtures hand out what `checkpoint.testing` has by the same name."""
    source = f"from checkpoint import testing\ndef test({fixture}):\n    it = {fixture}\n    assert {expected}"

    run_tests(pytester, source).assert_outcomes(passed=1)
