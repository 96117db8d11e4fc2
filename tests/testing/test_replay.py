"""
`replay`: runs that a program has saved, and what later versions of it make of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from checkpoint import checkpointed, errors, workflow
from checkpoint._core.lines import Chain, key_and_kind, split
from checkpoint.stores import FileStore
from checkpoint.testing._replay import replay
from checkpoint.testing._replay_export import export_run
from checkpoint.testing._replay_report import LostStep, ReplayReport

PROGRAM = Path(__file__).resolve().parent / "scripts" / "align.py"

ALL = ["load()", *(f"{step}('{branch}'{more})" for branch in ("login", "search", "billing")
       for step, more in (("backup", ""), ("align", ", 'main'")))]  # fmt: skip

Load = Callable[..., ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a version of the program: a module `align`, with texts replaced."""
    # Bytecode of a version that was written in the same second would be taken for the next one's.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def version(*replaced: tuple[str, str]) -> ModuleType:
        source = PROGRAM.read_text(encoding="utf-8")
        for old, new in replaced:
            assert old in source, old
            source = source.replace(old, new)
        path = tmp_path / "align.py"
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("align", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "align", module)
        spec.loader.exec_module(module)
        return module

    return version


@pytest.fixture
def exported(load: Load, tmp_path: Path) -> Path:
    """Return an export of a run of the program as it was."""
    return Path(export_run(load().main().location, tmp_path / "export"))


@pytest.fixture
def cut_short(load: Load, tmp_path: Path, checkpoint_home: Path) -> Path:
    """Return an export of a run that failed in the alignment of the second branch."""
    module = load(('RAN.append(f"align {branch}")', 'RAN.append(1 // (branch != "search"))'))
    with pytest.raises(ZeroDivisionError):
        module.main()
    (journal,) = checkpoint_home.glob("runs/*/*/journal.jsonl")
    return Path(export_run(journal.parent, tmp_path / "export"))


def replayed(exported: Path, module: ModuleType) -> ReplayReport:
    """Replay the program's `main`, and see to it that no body ran."""
    report = replay(exported, module.main)
    assert [] == module.RAN
    return report


# --- today's program is the same -----------------------------------------------------------------------------------


def test_unchanged_program(exported: Path, load: Load) -> None:
    """All steps of a finished run are kept, and nothing else is said."""
    report = replayed(exported, load())

    assert (ALL, [], [], [], [], True) == (
        report.kept,
        report.lost_steps,
        report.new,
        report.unused,
        report.changed,
        report.reached_end,
    )


def test_state_is_that_of_the_run(exported: Path, load: Load) -> None:
    """The walk over kept steps leaves the state as the run did."""
    done = ["login on main", "search on main", "billing on main"]

    assert {"done": done} == replayed(exported, load()).state


def test_unfinished_run(cut_short: Path, load: Load) -> None:
    """A run that failed is continued up to the call that would run."""
    report = replayed(cut_short, load())

    assert (ALL[:4], [], ["align('search', 'main')"], [], False) == (
        report.kept,
        report.lost_steps,
        report.new,
        report.unused,
        report.reached_end,
    )


@pytest.mark.process
def test_killed_program(scripts: Any, load: Load, tmp_path: Path, checkpoint_home: Path) -> None:
    """A copy of the directory that a killed process left is as good as an export, and its names are the module's."""
    scripts.run(
        scripts.write(
            PROGRAM.read_text().replace(
                'RAN.append(f"align {branch}")',
                'branch == "search" and __import__("os").kill(__import__("os").getpid(), 9)',
            ),
            "align.py",
        )
    )
    (journal,) = checkpoint_home.glob("runs/*/*/journal.jsonl")
    shutil.copytree(journal.parent, tmp_path / "copy")

    report = replayed(tmp_path / "copy", load())

    assert (ALL[:4], ["align('search', 'main')"]) == (report.kept, report.new)


def test_journal_alone(exported: Path, load: Load, tmp_path: Path) -> None:
    """The journal is enough where values are small."""
    shutil.copy(exported / "journal.jsonl", tmp_path / "align-2026-10.jsonl")

    assert ALL == replayed(tmp_path / "align-2026-10.jsonl", load()).kept


def test_export_is_not_changed(exported: Path, load: Load) -> None:
    """An export can be replayed for years."""
    before = {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()}
    replayed(exported, load())

    assert before == {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()}


def test_nothing_is_left_in_the_users_home(exported: Path, load: Load, checkpoint_home: Path) -> None:
    """A replay keeps away from the runs of this user."""
    module = load()
    before = sorted(checkpoint_home.rglob("*"))
    replayed(exported, module)

    assert before == sorted(checkpoint_home.rglob("*"))


def test_library_works_as_before(exported: Path, load: Load) -> None:
    """After a replay the same program runs its steps."""
    module = load()
    replayed(exported, module)
    module.main()

    assert 7 == len(module.RAN)


@pytest.mark.parametrize("key", ["'/elsewhere/repository'", "None", "'ein Schlüssel \"\\\\'"])
def test_other_key(exported: Path, load: Load, key: str) -> None:
    """The run is found whatever key today's program uses on this machine."""
    assert ALL == replayed(exported, load(("'/home/me/repository'".replace("'", '"'), key))).kept


def test_sealed_anew_with_every_kind_of_record(cut_short: Path, load: Load) -> None:
    """An unfinished run under another key has all it had, its state among it."""
    report = replayed(cut_short, load(('"/home/me/repository"', '"x"')))

    assert (ALL[:4], {"done": ["login on main"]}) == (report.kept, report.state)


@pytest.mark.parametrize("variant", ["once=True", "state=dict", "output='lines'", "store='memory:'"])
def test_options_of_the_workflow(exported: Path, load: Load, variant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Other options make no difference to what is kept, and nothing is said on stderr."""
    module = load(('key="/home/me/repository"', f'key="/home/me/repository", {variant}'))

    assert ALL == replayed(exported, module).kept
    assert "" == capsys.readouterr().err


def test_decorated_function(exported: Path, load: Load) -> None:
    """A function that the workflow decorates is replayed like a block."""
    module = load()

    @workflow("align")
    def main() -> None:
        assert "main" == module.load()

    assert ["load()"] == replay(exported, main).kept


# --- today's program is another ------------------------------------------------------------------------------------


def test_parameter_renamed(exported: Path, load: Load) -> None:
    """A renamed parameter loses every call of the step, and the report names it."""
    module = load(("def align(branch, target)", "def align(name, target)"), ('{branch} on', '{name} on'),
                  ('align {branch}', 'align {name}'))  # fmt: skip

    report = replayed(exported, module)

    why = "parameter 'branch' is called 'name' now"
    calls = [f"align('{name}', 'main')" for name in ("login", "search", "billing")]
    expected = [LostStep(call, call, why) for call in calls]
    assert expected == report.lost_steps
    assert (["load()", "backup('login')", "backup('search')", "backup('billing')"], [], True) == (
        report.kept,
        report.unused,
        report.reached_end,
    )


def test_argument_changed(exported: Path, load: Load) -> None:
    """A call with another argument is lost, and the report says which."""
    report = replayed(exported, load(("align(branch, target))", "align(branch, target.upper()))")))

    assert (
        LostStep("align('login', 'MAIN')", "align('login', 'main')", "argument 'target' differs")
        == (report.lost_steps[0])
    )
    assert 3 == len(report.lost_steps)


def test_stand_in_is_the_likest_call(exported: Path, load: Load) -> None:
    """A lost call is given the result of the call it most resembles, not of the next one."""
    module = load(("align(branch, target))", "align(branch, target.upper()))"), ("in BRANCHES", "in BRANCHES[::-1]"))

    report = replayed(exported, module)

    assert "align('billing', 'main')" == report.lost_steps[0].saved_as


def test_step_renamed(exported: Path, load: Load) -> None:
    """A step that was given another name is lost, and the report says how to keep the old one."""
    report = replayed(exported, load(("def backup", "def save"), ("        backup(branch)", "        save(branch)")))

    assert ["save('login')", "save('search')", "save('billing')"] == [lost.call for lost in report.lost_steps]
    assert "@checkpointed(name='align:backup')" in report.lost_steps[0].why
    assert report.reached_end


def test_step_without_arguments_renamed(exported: Path, load: Load) -> None:
    """A step without arguments is recognised by its place."""
    report = replayed(exported, load(("def load()", "def fetch()"), ("target = load()", "target = fetch()")))

    assert [("fetch()", "load()")] == [(lost.call, lost.saved_as) for lost in report.lost_steps]


def test_renamed_step_that_kept_its_name(exported: Path, load: Load) -> None:
    """The advice that is given for a renamed step is right."""
    module = load(
        ("@checkpointed\ndef backup", "@checkpointed(name='align:backup')\ndef save"),
        ("        backup(branch)", "        save(branch)"),
    )

    assert [] == replayed(exported, module).lost_steps


def test_version_changed(exported: Path, load: Load) -> None:
    """A new version loses the calls of its step on purpose, and is found out."""
    report = replayed(exported, load(("@checkpointed\ndef load", "@checkpointed(version=2)\ndef load")))

    assert ["version= differs, or an argument is at its default in only one of the two"] == [
        lost.why for lost in report.lost_steps
    ]


def test_key_function_added(exported: Path, load: Load) -> None:
    """A step that is now recognised by its key is told from one whose arguments changed."""
    module = load(("@checkpointed\ndef backup", "@checkpointed(key=lambda branch: branch)\ndef backup"))

    assert {"key= was given to the step"} == {lost.why for lost in replayed(exported, module).lost_steps}


def test_key_function_changed(exported: Path, load: Load, tmp_path: Path) -> None:
    """A key that is made in another way loses calls, and that it is the key is said."""
    keyed = "@checkpointed(key=lambda branch: branch)\ndef backup"
    export_run(load(("@checkpointed\ndef backup", keyed)).main().location, tmp_path / "keyed")

    other = replayed(tmp_path / "keyed", load(("@checkpointed\ndef backup", keyed.replace(": branch", ": [branch]"))))
    none = replayed(tmp_path / "keyed", load())

    assert {"what key= returns differs"} == {lost.why for lost in other.lost_steps}
    assert {"the step had a key= or no arguments then"} == {lost.why for lost in none.lost_steps}


def test_new_step_at_the_end(exported: Path, load: Load) -> None:
    """New work after the old is no loss: the replay ends there."""
    report = replayed(exported, load(("    return run", "        backup('all')\n    return run")))

    assert (ALL, [], ["backup('all')"], [], False) == (
        report.kept,
        report.lost_steps,
        report.new,
        report.unused,
        report.reached_end,
    )


def test_code_after_new_work_does_not_run(exported: Path, load: Load) -> None:
    """What would have needed the result of new work is not reached."""
    module = load(("    return run", "        backup('all')\n        RAN.append('after')\n    return run"))

    replayed(exported, module)


def test_new_step_in_the_middle(exported: Path, load: Load) -> None:
    """A new step before each old one is new work, not a loss, though its arguments look like theirs."""
    module = load(
        (
            "@checkpointed\ndef align",
            "@checkpointed\ndef check(branch):\n    RAN.append('check')\n\n\n@checkpointed\ndef align",
        ),
        ("        backup(branch)", "        check(branch)\n            backup(branch)"),
    )

    report = replayed(exported, module)

    assert ([], ["check('login')", "check('search')"]) == (report.lost_steps, report.new)


def test_new_parameter_with_default(exported: Path, load: Load) -> None:
    """A parameter that is new and left at its default loses nothing."""
    report = replayed(exported, load(("def align(branch, target)", "def align(branch, target, strategy='rebase')")))

    assert (ALL, []) == (report.kept, report.lost_steps)


def test_new_parameter_that_is_given(exported: Path, load: Load) -> None:
    """A parameter that is new and given makes other calls."""
    module = load(
        ("def align(branch, target)", "def align(branch, target, strategy='rebase')"),
        ("align(branch, target))", "align(branch, target, 'merge'))"),
    )

    assert {"parameter 'strategy' is new, and not at its default"} == {
        lost.why for lost in replayed(exported, module).lost_steps
    }


def test_parameter_removed(exported: Path, load: Load) -> None:
    """A parameter that is gone is named."""
    module = load(("def align(branch, target)", "def align(branch)"), ("on {target}", ""),
                  ("align(branch, target))", "align(branch))"))  # fmt: skip

    assert {"parameter 'target' is gone"} == {lost.why for lost in replayed(exported, module).lost_steps}


def test_loop_in_another_order(exported: Path, load: Load) -> None:
    """Calls are content, not position: nothing is lost by another order."""
    report = replayed(exported, load(("in BRANCHES", "in BRANCHES[::-1]")))

    assert (sorted(ALL), [], []) == (sorted(report.kept), report.lost_steps, report.new)


def test_item_inserted(exported: Path, load: Load) -> None:
    """A new item before the old ones is new, and those are kept."""
    report = replayed(exported, load(('["login"', '["admin", "login"')))

    assert (["backup('admin')", "align('admin', 'main')"], []) == (report.new, report.lost_steps)
    assert sorted(ALL) == sorted(report.kept)


def test_item_renamed_and_another_order(exported: Path, load: Load) -> None:
    """The lost one among several is found, though its stand-in was another."""
    report = replayed(exported, load(('["login", "search", "billing"]', '["sign-in", "search", "billing"][::-1]')))

    assert [("backup('sign-in')", "backup('login')"), ("align('sign-in', 'main')", "align('login', 'main')")] == [
        (lost.call, lost.saved_as) for lost in report.lost_steps
    ]


def test_item_removed(exported: Path, load: Load) -> None:
    """Work that nothing asks for any more is no loss, and is listed."""
    report = replayed(exported, load(('"login", ', "")))

    assert ([], ["backup('login')", "align('login', 'main')"], True) == (
        report.lost_steps,
        report.unused,
        report.reached_end,
    )


def test_code_of_another_python(exported: Path, load: Load) -> None:
    """Bytecode of another Python says nothing about an edit."""
    data = (
        (exported / "journal.jsonl")
        .read_bytes()
        .replace(f'"code":"{sys.implementation.cache_tag}'.encode(), b'"code":"other')
    )
    chain = Chain()
    for line in split(data):
        key, kind = key_and_kind(line)
        sealed = chain.seal(key, kind, line[line.index(b",", line.index(b'"n":')) + 1 : -26].decode())
        chain.accept(sealed)
        data = data.replace(line + b"\n", sealed.data)
    (exported / "journal.jsonl").write_bytes(data)

    assert ([], ALL) == ((report := replayed(exported, load(("backup/", "saved/")))).changed, report.kept)


def test_code_edited(exported: Path, load: Load) -> None:
    """A step whose code was edited is kept, and named."""
    report = replayed(exported, load(('return f"backup/{branch}"', 'return f"saved/{branch}"')))

    assert (ALL, ["align:backup"]) == (report.kept, report.changed)


# --- what may go wrong ---------------------------------------------------------------------------------------------


def test_damaged_export(exported: Path, load: Load) -> None:
    """A byte that was changed in the repository is found before anything is opened."""
    journal = exported / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"login on main", b"login on mine"))

    with pytest.raises(errors.DamagedRunError, match=r"journal\.jsonl' cannot be relied on at line 8"):
        replay(exported, load().main)


def test_line_ends_changed_by_the_repository(exported: Path, load: Load) -> None:
    """An export whose line ends were converted is refused, too."""
    journal = exported / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"\n", b"\r\n"))

    with pytest.raises(errors.DamagedRunError):
        replay(exported, load().main)


def test_shortened_export(exported: Path, load: Load) -> None:
    """An unfinished write at the end is what a crash leaves: the rest is replayed."""
    journal = exported / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:-2], lines[-2][:-10]]))

    assert ALL[:-1] == replayed(exported, load()).kept


@pytest.mark.parametrize("data", [b"", b"{}\n", b"\0\1"])
def test_file_that_is_no_export(tmp_path: Path, load: Load, data: bytes) -> None:
    """Another file is not taken for a run."""
    (tmp_path / "other").write_bytes(data)

    with pytest.raises(errors.DamagedRunError):
        replay(tmp_path / "other", load().main)


def test_missing_export(tmp_path: Path, load: Load) -> None:
    """A path that leads nowhere is named."""
    with pytest.raises(errors.UsageError, match=r"there is no run at '.*missing'"):
        replay(tmp_path / "missing", load().main)


def test_other_workflow(exported: Path, load: Load) -> None:
    """If the function opens another workflow, the error names both."""
    module = load(('workflow("align"', 'workflow("rebase"'))

    with pytest.raises(errors.UsageError, match="one of workflow 'align', and the function opened 'rebase'"):
        replay(exported, module.main)


def test_no_workflow(exported: Path) -> None:
    """A function that opens nothing replays nothing."""
    with pytest.raises(errors.UsageError, match="the function opened none"):
        replay(exported, lambda: None)


def test_fresh(exported: Path, load: Load) -> None:
    """A program that never continues a run cannot be replayed."""
    module = load(('workflow("align"', 'workflow("align", fresh=True'))

    with pytest.raises(errors.UsageError, match="opens workflow 'align' with fresh=True"):
        replay(exported, module.main)


def test_state_does_not_fit(exported: Path, load: Load) -> None:
    """A state that today's class cannot take is the error users would get."""
    module = load(
        ("def main", "class State(__import__('typing').TypedDict):\n    done: list[int]\n\n\ndef main"),
        ('key="/home/me/repository"', "state=State"),
    )

    with pytest.raises(errors.StateError, match="done"):
        replay(exported, module.main)


def test_error_of_the_function(exported: Path, load: Load) -> None:
    """What the function raises, with every step kept, passes through."""
    with pytest.raises(ZeroDivisionError):
        replay(exported, load(("    return run", "        1 / 0\n    return run")).main)


def test_error_after_a_lost_step(exported: Path, load: Load) -> None:
    """What a stand-in's value may have led to is told in the report, beside what was lost."""
    module = load(("align(branch, target))", "align(branch, target.upper()))"), ("    return run", "        1 / 0"))

    report = replayed(exported, module)

    assert (3, ZeroDivisionError, False) == (len(report.lost_steps), type(report.error), report.reached_end)


def test_new_work_that_is_swallowed(exported: Path, load: Load) -> None:
    """A program that catches everything goes on, and still has not reached the end."""
    body = "        try:\n            backup('all')\n        except BaseException:\n            pass\n    return run"

    report = replayed(exported, load(("    return run", body)))

    assert (["backup('all')"], False) == (report.new, report.reached_end)


def test_replay_inside_a_replay(exported: Path, load: Load) -> None:
    """Two replays at once would see each other's calls."""
    module = load()

    with pytest.raises(errors.UsageError, match="is being replayed in this process already"):
        replay(exported, lambda: replay(exported, module.main))


def test_second_run_is_new_work(exported: Path, load: Load) -> None:
    """The export stands in for the first run that is opened, and for no other."""
    module = load()
    report = replay(exported, lambda: (module.main(), module.main()))

    assert (ALL, ["load()"]) == (report.kept, report.new)


# --- values --------------------------------------------------------------------------------------------------------


@checkpointed
def compiled(pattern: str) -> object:
    """Return a value that has to be pickled, or a large one."""
    return "x" * 100_000 if pattern == "large" else Odd(pattern)


class Odd:
    """Neither plain data nor a data class."""

    def __init__(self, text: str) -> None:
        self.text = text


def values() -> object:
    """Make both."""
    with workflow("values") as run:
        run.state["size"] = len(compiled("large"))  # type: ignore[arg-type]
        run.state["text"] = compiled("a+").text  # type: ignore[attr-defined]
    return run


@pytest.fixture
def exported_values(tmp_path: Path) -> Path:
    """Return an export with a payload and a pickled value."""
    return Path(export_run(values().location, tmp_path / "export"))  # type: ignore[attr-defined]


def test_payload_and_pickle(exported_values: Path) -> None:
    """Values in files of their own, and pickled ones, are loaded with the user's own key."""
    report = replay(exported_values, values)

    assert (2, {"size": 100_000, "text": "a+"}) == (len(report.kept), report.state)


def test_missing_payload(exported_values: Path) -> None:
    """A payload that was not copied is named."""
    shutil.rmtree(exported_values / "payloads")

    with pytest.raises(errors.DamagedRunError, match="it is missing"):
        replay(exported_values, values)


def test_other_users_pickle(exported_values: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that was pickled under another key is not loaded, and the error names the call and the way out."""
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(tmp_path / "others"))

    with pytest.raises(errors.UntrustedError, match=r"compiled\('a\+'\)") as caught:
        replay(exported_values, values)

    assert "replay(…, key_file=…)" in caught.value.__notes__[0]


def test_key_file(exported_values: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key it was exported under it is, though a repository has made the key readable for all."""
    key = tmp_path / "key"
    shutil.copyfile(os.environ["CHECKPOINT_KEY_FILE"], key)
    key.chmod(0o644)
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(tmp_path / "others"))

    assert 2 == len(replay(exported_values, values, key_file=key).kept)
    assert str(tmp_path / "others") == os.environ["CHECKPOINT_KEY_FILE"]


@pytest.mark.parametrize(("data", "said"), [(b"short", "it has not 32 bytes"), (None, "No such file")])
def test_unusable_key_file(exported_values: Path, tmp_path: Path, data: bytes | None, said: str) -> None:
    """A key that is none is refused, and none is made."""
    key = tmp_path / "key"
    if data is not None:
        key.write_bytes(data)

    with pytest.raises(errors.UsageError, match=said):
        replay(exported_values, values, key_file=key)
    assert (data is not None) == key.exists()


def test_swallowed_refusal_is_raised(exported_values: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that carries on without a result that could not be loaded has not resumed."""
    monkeypatch.setenv("CHECKPOINT_KEY_FILE", str(tmp_path / "others"))

    def careless() -> None:
        with workflow("values"), suppress(Exception):
            compiled("a+")

    with pytest.raises(errors.UntrustedError):
        replay(exported_values, careless)


# --- other kinds of calls ------------------------------------------------------------------------------------------


RAN: list[str] = []


@pytest.fixture(autouse=True)
def forget_what_ran() -> None:
    """Begin each test with nothing run."""
    RAN.clear()


@checkpointed
async def fetch(page: int) -> int:
    """Return the page's number."""
    RAN.append(f"fetch {page}")
    return page


async def crawl(pages: int = 3) -> object:
    """Fetch all pages at once."""
    async with workflow("crawl") as run:
        await asyncio.gather(*(fetch(page) for page in range(pages)))
    return run


def test_async_steps(tmp_path: Path) -> None:
    """A coroutine function is run in a loop, and its steps are kept."""
    export_run(asyncio.run(crawl()).location, tmp_path / "export")  # type: ignore[attr-defined]
    RAN.clear()

    report = replay(tmp_path / "export", crawl)

    assert (["fetch(0)", "fetch(1)", "fetch(2)"], True, []) == (report.kept, report.reached_end, RAN)


def test_new_work_among_tasks(tmp_path: Path) -> None:
    """A task that comes to new work ends the loop without a word."""
    export_run(asyncio.run(crawl()).location, tmp_path / "export")  # type: ignore[attr-defined]
    RAN.clear()

    report = replay(tmp_path / "export", lambda: crawl(5))

    assert ("fetch(3)", False, []) == (report.new[0], report.reached_end, RAN)


@checkpointed
def outer(name: str) -> str:
    """Call another step."""
    RAN.append(f"outer {name}")
    return inner(name) * 2


@checkpointed
def inner(name: str) -> str:
    """Return the name, unless it is a bad one."""
    RAN.append(f"inner {name}")
    if name == "bad" and RAN.count("inner bad") == 1:
        raise ValueError(name)
    return name


def nested(*names: str, step: Callable[[str], str] = outer) -> Any:
    """Call the step for each name, twice."""
    with workflow("nested") as run:
        for name in names:
            step(name)
    return run


def test_nested_steps(tmp_path: Path) -> None:
    """What an outer step made is neither asked for nor missed."""
    export_run(nested("a", "b").location, tmp_path / "export")
    RAN.clear()

    report = replay(tmp_path / "export", lambda: nested("a", "b"))

    assert (["outer('a')", "outer('b')"], [], []) == (report.kept, report.unused, RAN)


def test_outer_step_that_was_cut_short(tmp_path: Path, checkpoint_home: Path) -> None:
    """It would run again, and what it had made is its own to ask for."""

    @checkpointed(name="cut")
    def cut(name: str) -> None:
        inner(name)
        raise ValueError(name)

    with pytest.raises(ValueError, match="a"):
        nested("a", step=cut)
    (journal,) = checkpoint_home.glob("runs/*/*/journal.jsonl")
    export_run(journal.parent, tmp_path / "export")

    report = replay(tmp_path / "export", lambda: nested("a", step=cut))

    assert ([], 1, []) == (report.kept, len(report.new), report.unused)


def test_outer_step_removed(tmp_path: Path) -> None:
    """A call that was made inside another step then is told where it was."""
    export_run(nested("a").location, tmp_path / "export")
    RAN.clear()

    report = replay(tmp_path / "export", lambda: nested("a", step=inner))

    assert [LostStep("inner('a')", "inner('a')", "it was called inside outer('a') then")] == report.lost_steps
    assert [] == RAN


def test_threads(tmp_path: Path) -> None:
    """Threads find their calls, and one that comes to new work ends without a word."""

    def threaded(*names: str) -> Any:
        with workflow("nested") as run:
            threads = [threading.Thread(target=inner, args=(name,)) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return run

    export_run(threaded("a", "b").location, tmp_path / "export")
    RAN.clear()

    report = replay(tmp_path / "export", lambda: threaded("a", "b", "c"))

    assert (["inner('a')", "inner('b')"], False, []) == (sorted(report.kept), report.reached_end, RAN)


def test_executor(tmp_path: Path) -> None:
    """New work in an executor's thread comes out where its result is asked for."""

    def pooled(*names: str) -> Any:
        with workflow("nested") as run, ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(inner, name) for name in names]:
                future.result()
        return run

    export_run(pooled("a", "b").location, tmp_path / "export")
    RAN.clear()

    report = replay(tmp_path / "export", lambda: pooled("a", "b", "c"))

    assert (["inner('c')"], False, []) == (report.new, report.reached_end, RAN)


def test_task_group(tmp_path: Path) -> None:
    """New work inside a task group is found in the group of exceptions that leaves it."""

    async def grouped(pages: int) -> Any:
        async with workflow("crawl") as run, asyncio.TaskGroup() as group:
            for page in range(pages):
                group.create_task(fetch(page))
        return run

    export_run(asyncio.run(grouped(2)).location, tmp_path / "export")
    RAN.clear()

    report = replay(tmp_path / "export", lambda: grouped(3))

    assert (["fetch(2)"], False, []) == (report.new, report.reached_end, RAN)


def test_run_that_was_open_before(exported: Path, load: Load) -> None:
    """Calls of a run around the replay are its own business."""
    module = load()

    with workflow("around"):
        context = contextvars.copy_context()
        report = replay(exported, lambda: (module.main(), context.run(inner, "a")))

    assert (True, ["inner a"]) == (report.reached_end, RAN)


def test_other_errors_of_threads_are_told(exported: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that fails for a reason of its own is not silenced."""
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda raised: told.append(raised.exc_type))
    module = load()

    def failing() -> None:
        module.main()
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()

    replay(exported, failing)

    assert [ZeroDivisionError] == told


class Repository:
    """Its steps are methods."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __checkpoint_key__(self) -> str:
        return self.path

    @checkpointed
    def sync(self, branch: str) -> str:
        """Return the branch."""
        RAN.append(f"sync {branch}")
        return branch


def methods(path: str) -> Any:
    """Call a method that is a step."""
    with workflow("methods") as run:
        Repository(path).sync("main")
    return run


def test_methods(tmp_path: Path) -> None:
    """The instance is an argument like any other."""
    export_run(methods("/a").location, tmp_path / "export")
    RAN.clear()

    assert (1, ["argument 'self' differs"], []) == (
        len(replay(tmp_path / "export", lambda: methods("/a")).kept),
        [lost.why for lost in replay(tmp_path / "export", lambda: methods("/b")).lost_steps],
        RAN,
    )


def test_equal_calls(tmp_path: Path) -> None:
    """One more of equal calls is new."""
    export_run(nested("a", "a").location, tmp_path / "export")

    report = replay(tmp_path / "export", lambda: nested("a", "a", "a"))

    assert (2, ["outer('a')"], []) == (len(report.kept), report.new, report.lost_steps)


# --- the report ----------------------------------------------------------------------------------------------------


def test_text_of_the_report(exported: Path, load: Load) -> None:
    """A failure shows all there is to know."""
    module = load(
        ("align(branch, target))", "align(branch, target + '!'))"),
        ('["login", "search", "billing"]', '["login"]'),
        ('return f"backup/{branch}"', "return branch"),
        ("    return run", "        backup('all', )\n    return run"),
    )
    report = replayed(exported, module)

    lines = str(report).splitlines()
    assert f"run {report.run} of 'align': 2 kept, 2 lost, 0 new, 3 unused; reached the end." == lines[0]
    assert "  lost: align('login', 'main!'), saved as align('login', 'main'): argument 'target' differs" == lines[1]
    assert "  unused: align('search', 'main')" in lines
    assert "  edited since: align:backup" == lines[-1]


def test_repr_of_the_report(cut_short: Path, load: Load) -> None:
    """In one line there are the counts."""
    report = replayed(cut_short, load())

    expected = f"<ReplayReport: run {report.run} of 'align': 4 kept, 0 lost, 1 new, 0 unused; stopped at new work>"
    assert expected == repr(report)


def test_error_in_the_report(exported: Path, load: Load) -> None:
    """What the function raised is shown."""
    module = load(("align(branch, target))", "align(branch, target.upper()))"), ("    return run", "        1 / 0"))

    lines = str(replayed(exported, module)).splitlines()

    assert ("; raised.", "  raised: ZeroDivisionError: division by zero") == (lines[0][-9:], lines[-1])


# --- exporting -----------------------------------------------------------------------------------------------------


def test_export_holds_journal_and_payloads_alone(exported_values: Path) -> None:
    """Neither lock nor state.json is copied, nor what is left of unfinished writes."""
    found = {path.relative_to(exported_values).parts[0] for path in exported_values.rglob("*") if path.is_file()}

    assert {"journal.jsonl", "payloads"} == found


def test_unfinished_payloads_are_not_exported(exported_values: Path, tmp_path: Path) -> None:
    """What a crash left beside the payloads is nobody's value."""
    (exported_values / "payloads" / "aa").mkdir(exist_ok=True)
    (exported_values / "payloads" / "aa" / "tmp-0123456789abcdef").touch()

    export_run(exported_values, tmp_path / "again")

    assert [] == list((tmp_path / "again").rglob("tmp-*"))


def test_export_is_the_same_journal(load: Load, tmp_path: Path) -> None:
    """The copy has the bytes of the original, with the record that it finished."""
    location = load().main().location
    export_run(location, tmp_path / "export")

    assert (Path(location) / "journal.jsonl").read_bytes() == (tmp_path / "export" / "journal.jsonl").read_bytes()
    assert "finished" == json.loads((tmp_path / "export" / "journal.jsonl").read_text().splitlines()[-1])["kind"]


def test_export_does_not_overwrite(exported: Path) -> None:
    """An export that is there stays as it is."""
    with pytest.raises(errors.UsageError, match="it exists, and nothing is overwritten"):
        export_run(exported, exported)


def test_export_of_a_run_that_is_open(tmp_path: Path) -> None:
    """A run that is being written to is not copied, and nothing is left of the attempt."""
    with workflow("open") as run, pytest.raises(errors.RunInUseError):
        export_run(run.location, tmp_path / "export")

    assert [] == list(tmp_path.iterdir())


def test_run_can_go_on_after_an_export(cut_short: Path, load: Load, checkpoint_home: Path) -> None:
    """An export gives the run's lock back."""
    module = load()

    assert module.main().resumed


def test_export_of_damage(load: Load, tmp_path: Path) -> None:
    """What cannot be relied on is not exported."""
    location = Path(load().main().location)
    data = (location / "journal.jsonl").read_bytes()
    (location / "journal.jsonl").write_bytes(data.replace(b"backup/", b"backup:"))

    with pytest.raises(errors.DamagedRunError):
        export_run(location, tmp_path / "export")
    assert not list(tmp_path.glob("export*"))


def test_export_of_nothing(tmp_path: Path) -> None:
    """A directory without a run is named."""
    with pytest.raises(errors.UsageError, match="there is no run at"):
        export_run(tmp_path, tmp_path / "export")


def test_export_put_back_is_a_run(exported: Path, load: Load, tmp_path: Path) -> None:
    """An export is what the store can open, put where runs lie."""
    folder = tmp_path / "home" / "runs" / "align"
    folder.mkdir(parents=True, mode=0o700)
    for directory in (tmp_path, tmp_path / "home", tmp_path / "home" / "runs"):
        directory.chmod(0o700)
    run = json.loads((exported / "journal.jsonl").read_text().splitlines()[0])["run"]
    shutil.copytree(exported, folder / run)

    (found,) = FileStore(tmp_path / "home").runs()

    assert (run, "finished") == (found.id, found.status)
