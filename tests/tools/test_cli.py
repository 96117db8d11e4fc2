"""
The command line: listings, paths, and errors as one line and a status.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoint import checkpointed, workflow
from checkpoint._tools.cli import main
from checkpoint.stores import FileStore


class Stop(Exception):
    """Leaves a block, so that its run can be continued."""


@checkpointed
def inner(name: str) -> str:
    return name


@checkpointed
def align(name: str) -> str:
    if name == "bad":
        raise Stop
    return inner(name)


def make_run(name: str = "align", *calls: str, key: str | None = None, store: FileStore | None = None) -> str:
    with workflow(name, key=key, store=store, output="off") as run:
        for call in calls:
            align(call)
    return run.id


def test_ls(capsys: pytest.CaptureFixture[str]) -> None:
    """`ls` has a line for each run, with name, id, state and key."""
    first = make_run("align", "a", key="repo")
    with pytest.raises(Stop):
        make_run("other", "bad")
    assert 0 == main(["ls"])
    header, *rows = capsys.readouterr().out.splitlines()
    assert ["NAME", "RUN", "STATE", "LAST", "KEY"] == header.split()
    # Ids of one second are in no order.
    align, other = sorted(row.split() for row in rows)
    assert ("align", first, "finished", "repo") == (*align[:3], align[-1])
    assert ("other", "failed") == (other[0], other[2])


def test_ls_of_nothing(capsys: pytest.CaptureFixture[str], checkpoint_home: Path) -> None:
    """Without a run `ls` prints the header, and makes nothing on the disk."""
    assert 0 == main(["ls"])
    assert 1 == len(capsys.readouterr().out.splitlines())
    assert not checkpoint_home.exists()


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    """`show` lists the calls as a person would write them, inner ones indented, with tries and states."""
    for _ in range(2):
        with pytest.raises(Stop):
            make_run("align", "a", "bad")
    assert 0 == main(["show", "align"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("align: run ") and said[0].endswith(", failed")
    assert "2 session(s)" in said[1]
    assert [["done", "align('a')"], ["done", "inner('a')"], ["failed", "align('bad')"]] == [
        line.split()[:2] for line in said[2:]
    ]
    assert said[3].startswith("    done")
    assert said[4].endswith("2 tries")


@pytest.mark.parametrize("part", ["id", "end of the id", "name"])
def test_path(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`path` prints where a run is kept, given its name, its id, or the id's end."""
    run = make_run("align", "a")
    assert 0 == main(["path", {"id": run, "end of the id": run[-4:], "name": "align"}[part]])
    place = Path(capsys.readouterr().out.strip())
    assert run == place.name
    assert (place / "journal.jsonl").is_file()


def test_path_of_everything(capsys: pytest.CaptureFixture[str], checkpoint_home: Path) -> None:
    """`path` without a run prints where all are kept."""
    assert 0 == main(["path"])
    assert str(checkpoint_home) in capsys.readouterr().out


def test_other_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--store` looks elsewhere."""
    place = tmp_path / "runs"
    run = make_run("elsewhere", store=FileStore(place))
    assert 0 == main(["ls", "--store", str(place)])
    assert run in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "path"])
def test_unknown_run(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is not there is one line on stderr, naming what is, and status 3."""
    make_run("align", "a")
    assert 3 == main([command, "nothing"])
    caught = capsys.readouterr()
    assert "" == caught.out
    assert ["checkpoint: There is no run 'nothing'. Workflows here: align."] == caught.err.splitlines()


def test_ambiguous_end(capsys: pytest.CaptureFixture[str]) -> None:
    """An end that several ids have is refused, with the runs it could be."""
    first, second = make_run("a"), make_run("b")
    assert 3 == main(["path", ""])
    said = capsys.readouterr().err
    assert first in said and second in said


def test_bad_store(capsys: pytest.CaptureFixture[str]) -> None:
    """A store that is none is one line."""
    assert 0 != main(["ls", "--store", "s3://bucket"])
    assert 1 == len(capsys.readouterr().err.splitlines())


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["show"]])
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What argparse refuses ends with its status 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert 2 == caught.value.code
    assert "usage: checkpoint" in capsys.readouterr().err


def test_help_names_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists the four commands."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert 0 == caught.value.code
    said = capsys.readouterr().out
    assert ["ls", "show", "path", "demo"] == [word for word in ("ls", "show", "path", "demo") if f"    {word} " in said]
