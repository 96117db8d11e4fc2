"""
The documentation says what is so: programs run, outputs are real, tables are complete, links lead somewhere.

`python tests/test_docs.py --refresh` writes anew what is generated: what stands between the marks in `docs/format.md`.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import pytest

from checkpoint._core import lines, transitions
from checkpoint._core.fingerprint_table import Family
from checkpoint._core.records import CallKind, RunKind
from checkpoint._core.tags_leaves import LEAVES

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
TESTING = DOCS / "testing.md"
PAGES = [README, REPOSITORY / "CHANGELOG.md", REPOSITORY / "SECURITY.md", REPOSITORY / "examples" / "README.md"]
PAGES += sorted(DOCS.glob("*.md"))

# The README's first program takes four seconds, and its output is compared too: it has tests of its own.
QUICKSTART_BLOCK = 0

# What a child needs at most before it says what a test waits for.
PATIENCE_S = 60.0


def blocks(page: Path, language: str) -> list[str]:
    """Return the contents of a page's code blocks in one language; an empty one means those that name none."""
    found: list[str] = []
    inside = None
    for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.startswith("```"):
            if inside == language:
                found[-1] += line
        elif inside is None:
            inside = line[3:].strip()
            found += [""] if inside == language else []
        else:
            inside = None
    return found


def files(page: Path) -> dict[str, str]:
    """Return the Python blocks of a page that are files, by the names that stand in their first lines."""
    named = ((re.match(r"# (\w+\.py)\n", block), block) for block in blocks(page, "python"))
    return {found[1]: block for found, block in named if found}


def block_with(page: Path, language: str, words: str) -> str:
    """Return the only code block of a page that contains `words`."""
    (found,) = [block for block in blocks(page, language) if words in block]
    return found


# --- what is generated ---------------------------------------------------------------------------------------------


def tag_table() -> str:
    """Return the table of the tags that stand for single values."""
    rows = [f"| `{leaf.tag}` | `{leaf.home}.{leaf.name}` |" for leaf in LEAVES.values()]
    return "\n".join(["| tag | class |", "|---|---|", *rows])


def generated() -> dict[str, str]:
    """Return the generated parts of `docs/format.md`, by name."""
    return {
        "call": f"```mermaid\n{transitions.diagram(transitions.CALL)}\n```",
        "run": f"```mermaid\n{transitions.diagram(transitions.RUN)}\n```",
        "tags": tag_table(),
    }


def refreshed(text: str) -> str:
    """Return a page's text with its generated parts made anew."""
    parts = generated()

    def replace(found: re.Match[str]) -> str:
        return f"<!-- generated: {found[1]} -->\n{parts[found[1]]}\n<!-- end -->"

    return re.sub(r"<!-- generated: (\w+) -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)


def test_generated_parts_are_fresh() -> None:
    """The diagrams and tables that are made from code are those of this code; else run this file with --refresh."""
    text = (DOCS / "format.md").read_text(encoding="utf-8")

    assert refreshed(text) == text


def test_every_generated_part_is_shown() -> None:
    """Nothing is generated for a page that has no place for it."""
    text = (DOCS / "format.md").read_text(encoding="utf-8")

    assert sorted(generated()) == sorted(re.findall(r"<!-- generated: (\w+) -->", text))


# --- programs ------------------------------------------------------------------------------------------------------


PROGRAMS = [
    pytest.param(block, id=f"{page.relative_to(REPOSITORY).as_posix()}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
    if page != TESTING and (page, number) != (README, QUICKSTART_BLOCK)
]


@pytest.mark.process
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_runs(scripts, program: str) -> None:
    """Each program of the documentation runs as it stands, and its assertions hold."""
    done = scripts.run(scripts.write(program))

    assert (0, "") == (done.returncode, done.stderr if "Traceback" in done.stderr else "")


@pytest.mark.process
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_runs_again(scripts, program: str) -> None:
    """Each of them can be run twice, as readers will."""
    path = scripts.write(program)
    scripts.run(path)

    assert 0 == scripts.run(path).returncode


# --- tests that readers write --------------------------------------------------------------------------------------


BADLY = "test_badly.py"


@pytest.fixture
def page_of_tests(tmp_path: Path) -> dict[str, str]:
    """Write the files of the page on testing, and return their contents by name."""
    found = files(TESTING)
    for name, source in found.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    return found


def run_pytest(scripts, *options: str) -> str:
    """Run the tests in the directory of the test as a reader would, and return what was said."""
    done = scripts.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *options)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def with_any_time(text: str) -> str:
    """Return what pytest has said with its times and paths replaced."""
    text = re.sub(r"\b\d+\.\d+ ?s\b", "TIME", text.replace(" [100%]", ""))
    return re.sub(r"Path\('[^']*'\)", "Path('…')", re.sub(r" +$", "", text, flags=re.MULTILINE))


@pytest.mark.process
@pytest.mark.skipif(os.name != "posix", reason="the page copies a run with a command of POSIX")
def test_tests_of_the_page_pass(scripts, page_of_tests: dict[str, str], tmp_path: Path) -> None:
    """Every test of the page on testing passes, but for the one that shows a failure."""
    (export,) = blocks(TESTING, "sh")
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environ["PYTHONPATH"] = str(REPOSITORY)
    subprocess.run(["sh", "-ec", export], cwd=tmp_path, env=environ, check=True, timeout=PATIENCE_S)
    said = run_pytest(scripts, f"--ignore={BADLY}")

    passing = "".join(source for name, source in page_of_tests.items() if name != BADLY)
    assert f"{len(re.findall('def test_', passing))} passed" in said.splitlines()[-1], said


@pytest.mark.process
def test_first_sweep_of_the_page(scripts, page_of_tests: dict[str, str]) -> None:
    """The first test of the page counts the points that the page shows."""
    (shown,) = [block for block in blocks(TESTING, "console") if "test_align.py\n" in block]

    assert with_any_time(shown.partition("\n")[2]) == with_any_time(run_pytest(scripts, "-s", "test_align.py"))


@pytest.mark.process
def test_failure_on_the_page(scripts, page_of_tests: dict[str, str]) -> None:
    """The program with a mistake fails with the message that the page shows, and its last line does so again."""
    (shown,) = [block for block in blocks(TESTING, "text") if "does not come through" in block]
    said = run_pytest(scripts, BADLY)
    message = [line[1:].strip() for line in said.splitlines() if line.startswith("E ")]
    message[0] = message[0].partition(": ")[2]
    written = [line.strip() for line in shown.splitlines() if line]
    *_, again = re.findall("pytest (.*)", shown)

    assert [with_any_time(line) for line in written] == [with_any_time(line) for line in message if line]
    assert "1 failed" in run_pytest(scripts, *again.split())


@pytest.mark.process
def test_unittest_of_the_page(scripts, page_of_tests: dict[str, str]) -> None:
    """The file for unittest runs without pytest."""
    done = scripts.run("-m", "unittest", "test_with_unittest")

    assert (0, "OK") == (done.returncode, done.stderr.splitlines()[-1])


@pytest.mark.process
def test_sweep_of_the_readme(scripts) -> None:
    """The README's test says what the README shows."""
    name = "test_survives.py"
    scripts.write(files(README)[name], name)
    (shown,) = [block for block in blocks(README, "console") if name in block]

    assert with_any_time(shown.partition("\n")[2]) == with_any_time(run_pytest(scripts, "-s", name))


# --- the quickstart ------------------------------------------------------------------------------------------------


def normalised(text: str) -> str:
    """Return an output without what differs from run to run: the run's id, and times."""
    text = re.sub(r"\brun [0-9a-f]{4}\b", "run ID", text)
    text = re.sub(r"\b\d+ (s|min|h|d) ago\b", "AGO", text)
    text = re.sub(r"process \d+ on [^,]+, since [-\d: ]+", "OWNER", text)
    return re.sub(r" *\b\d+\.\d+s\b", " TIME", text)


def seen(output: str) -> str:
    """Return what a terminal shows after this output: no colours, and of overwritten lines what was written last."""
    output = re.sub(r"\x1b\[[0-9;]*m", "", output).replace("\r\n", "\n")
    shown = []
    for line in output.split("\n"):
        line = re.split(r"\r(?:\x1b\[K)?", line)[-1]
        # The terminal itself shows the key, behind whatever stands there.
        before, key, after = line.partition("^C")
        shown += [before.rstrip(), key + after.rstrip()] if key else [line.rstrip()]
    return "\n".join(shown)


class Terminal:
    """A Python program in a terminal of 80 columns, as a user has it before them."""

    def __init__(self, directory: Path, *command: str) -> None:
        import fcntl
        import pty
        import struct
        import termios

        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
        for name in ("CHECKPOINT_OUTPUT", "PYTEST_CURRENT_TEST", "NO_COLOR", "COLUMNS"):
            environ.pop(name, None)
        self.child, self._keyboard = pty.fork()
        if not self.child:
            try:
                os.chdir(directory)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.execve(sys.executable, [sys.executable, *command], environ)
            finally:
                os._exit(127)
        fcntl.ioctl(self._keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.output = ""

    def wait_for(self, words: str) -> None:
        """Read until the program has written `words`."""
        while words not in self.output:
            assert self._read(), f"the program ended before it wrote {words!r}: {self.output}"

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C."""
        os.write(self._keyboard, b"\x03")

    def end(self) -> int:
        """Read until the program ends, and return its status: negative if a signal ended it."""
        while self._read():
            pass
        os.close(self._keyboard)
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])

    def _read(self) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], PATIENCE_S)
        assert ready, f"the program writes nothing: {self.output}"
        try:
            data = os.read(self._keyboard, 4096)
        except OSError:  # how Linux says that the program is gone
            return False
        self.output += data.decode("utf-8")
        return bool(data)


def outputs(page: Path, words: str) -> list[str]:
    """Return what follows each command in the console blocks of a page that contain `words`."""
    return [block.split("\n", 1)[1] for block in blocks(page, "console") if words in block and "align.py" in block]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals")
def test_quickstart_on_a_terminal(tmp_path: Path, default_signals: None) -> None:
    """The README's first program, stopped during the third branch and started again, shows what the README shows."""
    (tmp_path / "align.py").write_text(blocks(README, "python")[QUICKSTART_BLOCK], encoding="utf-8")
    first = Terminal(tmp_path, "align.py")
    first.wait_for("… align('billing')")
    first.press_ctrl_c()
    statuses = [first.end()]
    second = Terminal(tmp_path, "align.py")
    statuses.append(second.end())

    shown = [normalised(seen(terminal.output)) for terminal in (first, second)]
    written = [normalised(text) for text in (*outputs(README, "new run"), *outputs(README, "continuing"))]
    assert written == shown
    assert [-signal.SIGINT, 0] == statuses


def saved_steps(home: Path) -> int:
    """Return how many steps the only run has completed, or -1 while none runs."""
    records = [
        json.loads(line)
        for path in home.glob("runs/*/*/journal.jsonl")
        for line in path.read_text(encoding="ascii").splitlines(keepends=True)
        if line.endswith("\n")
    ]
    if not records or records[-1]["kind"] != "started":
        return -1
    return sum(record["kind"] == "completed" for record in records)


@pytest.mark.process
@pytest.mark.slow
def test_quickstart_without_a_terminal(scripts, checkpoint_home: Path) -> None:
    """The same program with its output in a file says what the page on concepts shows."""
    path = scripts.write(blocks(README, "python")[QUICKSTART_BLOCK], "align.py")
    first = scripts.start(path, env={"CHECKPOINT_OUTPUT": None})
    deadline = time.monotonic() + PATIENCE_S
    while saved_steps(checkpoint_home) < 2 and time.monotonic() < deadline:
        assert first.poll() is None
        time.sleep(0.01)  # until the next look, not until something has happened
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=PATIENCE_S)
    again = scripts.run(path, env={"CHECKPOINT_OUTPUT": None})

    block = block_with(DOCS / "concepts.md", "console", "Run again to continue.")
    written = "".join(line for line in block.splitlines(keepends=True) if not line.startswith("$"))
    assert normalised(written) == normalised(said + again.stderr)
    assert (-signal.SIGINT, 0) == (first.returncode, again.returncode)


def small(body: str, options: str = "") -> str:
    """Return the source of a workflow with one step."""
    return f"""
import signal
from checkpoint import checkpointed, workflow

@checkpointed
def align(branch):
    {body}

with workflow("align"{options}):
    align("login")
"""


@pytest.mark.process
def test_sentence_after_a_finished_run(scripts) -> None:
    """What the README says about a new run after a finished one is what is said."""
    path = scripts.write(small("pass"))
    scripts.run(path)
    said = scripts.run(path).stderr.splitlines()[0]

    assert normalised(block_with(README, "", "(last run")).strip() == normalised(said)


@pytest.mark.process
def test_sentence_of_a_run_that_is_done_once(scripts) -> None:
    """What the README says about a finished run that is opened again is what is said."""
    path = scripts.write(small("pass", ', key="2026-11-22", once=True'))
    scripts.run(path)

    assert normalised(block_with(README, "", "nothing to do")) == normalised(scripts.run(path).stderr)


@pytest.mark.process
def test_sentence_of_a_second_copy(scripts) -> None:
    """What the README says about a second copy is what is said, and its status is 75."""
    path = scripts.write(small("print('works', flush=True); signal.sigwait([signal.SIGUSR1])"))
    scripts.wait_for(scripts.start(path), "works")
    second = scripts.run(path)

    assert normalised(block_with(README, "", "already running")) == normalised(second.stderr)
    assert 75 == second.returncode


# --- the files -----------------------------------------------------------------------------------------------------

EVERYTHING = """
import sys
import numpy
from checkpoint import checkpointed, workflow

class Custom:
    pass

@checkpointed
def inner(number):
    return {number: {number}}

@checkpointed
def outer(number):
    return inner(number)

@checkpointed
def stop():
    raise KeyboardInterrupt if "stop" in sys.argv else ValueError("failed")

@checkpointed
def give(kind):
    return {
        "custom": Custom(),
        "code": [lambda: 1],
        "long": "x" * 50_000,
        "set": {("a" * 50_000,)},
        "array": [Custom(), numpy.zeros(50_000)],
        "pickle": [Custom(), "x" * 50_000],
    }[kind]

with workflow("everything") as run:
    run.state["n"] = 0
    outer(1)
    for kind in ("custom", "code", "long", "set", "array", "pickle"):
        give(kind)
    run.state["n"] = 1
    run.save()
    if "finish" not in sys.argv:
        stop()
"""


@pytest.fixture
def every_record(scripts, checkpoint_home: Path) -> list[dict[str, object]]:
    """Return the records of a run that was stopped, has failed, and was finished."""
    path = scripts.write(EVERYTHING)
    for ending in ("stop", "fail", "finish"):
        scripts.run(path, ending)
    (journal,) = checkpoint_home.glob("runs/*/*/journal.jsonl")
    return [json.loads(line) for line in journal.read_text(encoding="ascii").splitlines()]


@pytest.mark.process
def test_every_kind_of_record_is_described(every_record: list[dict[str, object]]) -> None:
    """A run that does everything writes all kinds of records, and each is in the tables."""
    text = (DOCS / "format.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    kinds = {*get_args(CallKind), *get_args(RunKind)}

    assert kinds == {str(record["kind"]) for record in every_record}
    assert set() == kinds - described


@pytest.mark.process
def test_every_member_is_described(every_record: list[dict[str, object]]) -> None:
    """Each member of a real journal is named on the page."""
    named = set(re.findall(r"`([a-z_]+)`", (DOCS / "format.md").read_text(encoding="utf-8")))

    assert set() == {member for record in every_record for member in record} - named


def test_example_journal_is_whole() -> None:
    """The journal on the page has right sums, and the mark on the page is its mark."""
    page = DOCS / "format.md"
    journal = block_with(page, "json", '"kind":"created"').encode("ascii")
    mark = lines.Mark.parse(
        re.findall(r"^\d{10} [0-9a-f]{16}\n", page.read_text(encoding="utf-8"), re.MULTILINE)[0].encode()
    )

    assert "whole" == lines.inspect(journal, mark).kind
    assert mark is not None and mark.count == journal.count(b"\n")


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="head -c with a negative number is GNU's")
def test_sum_by_hand(tmp_path: Path) -> None:
    """The command that recomputes a sum gives what the line says, twice."""
    page = DOCS / "format.md"
    (tmp_path / "journal.jsonl").write_text(block_with(page, "json", '"kind":"created"'), encoding="ascii")
    command = block_with(page, "sh", "sha256sum")
    done = subprocess.run(["sh", "-ec", command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    computed, written = done.stdout.split()

    assert re.fullmatch("[0-9a-f]{16}", computed)
    assert computed == written


# --- messages, links, style ----------------------------------------------------------------------------------------


def slugs_of(heading: str) -> list[str]:
    """Return the slugs that have a heading of this level on the page of messages."""
    return re.findall(rf"^{heading} (\S+)$", (DOCS / "messages.md").read_text(encoding="utf-8"), re.MULTILINE)


def package_source() -> str:
    """Return the text of the whole package."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "checkpoint").rglob("*.py"))


def test_every_message_exists() -> None:
    """A slug that is explained occurs in the package; the other way round is tested with the public names."""
    source = package_source()
    composed = {"workflow-name", "workflow-key"}

    assert [] == [slug for slug in slugs_of("##") if f'"{slug}"' not in source and slug not in composed]


def test_no_message_is_explained_twice() -> None:
    """A link to a message leads to one paragraph."""
    slugs = slugs_of("##") + slugs_of("###")

    assert sorted(set(slugs)) == sorted(slugs)


def test_every_family_of_refused_arguments_is_explained() -> None:
    """The slugs of arguments without a lasting value have headings below that one."""
    assert sorted(set(get_args(Family)) - {"no-lasting-value"}) == sorted(slugs_of("###"))


def test_messages_name_only_commands_that_exist() -> None:
    """Whatever the package or the documentation tells people to type is a command of this version."""
    from checkpoint._tools.cli import _parser

    (choices,) = [action.choices for action in _parser()._actions if action.choices]
    text = package_source() + "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?:`|-m |with: )checkpoint ([a-z]+)", text))

    assert {"show", "path", "demo"} <= named
    assert set() == named - set(choices or ())


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file that is there, and a heading that it has."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match("[a-z]+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert [] == broken


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_one_sentence_a_line(page: Path) -> None:
    """Prose of the pages has one sentence on each line, so that a change shows as what it is."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    prose = [line for line in text.splitlines() if line and line[0] not in "|<#>"]

    assert [] == [line for line in prose if re.search(r"[a-z`)]\. [A-Z]", line)]


def refresh() -> None:
    """Write the generated parts anew."""
    page = DOCS / "format.md"
    page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {page.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    if sys.argv[1:] != ["--refresh"]:
        sys.exit("usage: python tests/test_docs.py --refresh")
    refresh()
