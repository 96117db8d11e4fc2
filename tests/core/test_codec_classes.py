"""Tests of `codec_classes`: a class of the script is the same class however the program is run."""

from __future__ import annotations

import collections
import enum
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from checkpoint._core.codec_classes import ClassFinder, class_name
from checkpoint._core.tags_words import BadTree

# A script that saves instances of its own classes, and says whether what it loads is of the same ones.
PROGRAM = """
import enum, json, sys
from collections import namedtuple
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from checkpoint._core.codec import Codec

class Mode(enum.Enum):
    FAST = 1

@dataclass
class Config:
    mode: Mode

Pair = namedtuple("Pair", "left right")

class Bare:
    class Inner:
        pass

def codec():
    return Codec(lambda: b"s" * 32, "authenticated")

def save(path):
    bare = Bare()
    bare.inner, bare.config, bare.cls = Bare.Inner(), Config(Mode.FAST), Config
    by_value = [lambda: 5, bare]
    values = [Config(Mode.FAST), Pair(1, 2), bare, by_value]
    texts = [codec().encode(value, call_key="k", call="f()").text for value in values]
    with open(path, "w") as file:
        json.dump(texts, file)

def load(paths):
    return {path: load_one(path) for path in paths.split(":")}

def load_one(path):
    with open(path) as file:
        fields = [json.loads("{" + text + "}") for text in json.load(file)]
    config, pair, bare, by_value = [
        codec().decode(each, call_key="k", call="f()", fetch=None, private=True) for each in fields
    ]
    assert type(config) is Config and config.mode is Mode.FAST, config
    assert type(pair) is Pair and pair == (1, 2), pair
    assert type(bare) is Bare and type(bare.inner) is Bare.Inner and bare.config == config and bare.cls is Config
    assert by_value[0]() == 5 and type(by_value[1]) is Bare
    return "same"

def main():
    verb, path = sys.argv[-2:]
    if verb.startswith("spawn-"):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            print(pool.submit({"spawn-save": save, "spawn-load": load}[verb], path).result())
    else:
        print({"save": save, "load": load}[verb](path))

if __name__ == "__main__":
    main()
"""

# How a program can be run: the directory, and what comes before the arguments.
WAYS = {
    "script": (".", ["tools/align.py"]),
    "module": (".", ["-m", "tools.align"]),
    "import": (".", ["-c", "import tools.align; tools.align.main()"]),
    "script inside": ("tools", ["align.py"]),
    "module inside": ("tools", ["-m", "align"]),
    "import inside": ("tools", ["-c", "import align; align.main()"]),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("program")
    (root / "tools").mkdir()
    (root / "tools" / "__init__.py").touch()
    (root / "tools" / "align.py").write_text(PROGRAM)
    return root


@pytest.fixture(scope="module")
def saved(program: Path) -> dict[str, Path]:
    """Return what each way of running the program saved."""
    files = {}
    for number, way in enumerate(WAYS):
        files[way] = program / f"{number}.json"
        run(program, way, "save", files[way])
    return files


def run(program: Path, way: str, verb: str, *paths: Path) -> str:
    directory, arguments = WAYS[way]
    repository = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, *arguments, verb, ":".join(map(str, paths))],
        cwd=program / directory,
        env={"PYTHONPATH": repository, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


@pytest.mark.process
@pytest.mark.parametrize("way", WAYS)
def test_a_class_of_the_script_is_the_same_however_it_is_run(program: Path, saved: dict[str, Path], way: str) -> None:
    """What any way of running the program saved is loaded by another as instances of its own classes."""
    expected = {str(path): "same" for path in saved.values()}
    assert str(expected) == run(program, way, "load", *saved.values())


@pytest.mark.process
@pytest.mark.parametrize("way", ["script", "module"])
def test_a_class_of_the_script_is_the_same_in_a_spawned_worker(
    program: Path, saved: dict[str, Path], way: str, tmp_path: Path
) -> None:
    """A worker loads what the program saved, and the program what a worker saved."""
    assert "same" in run(program, way, "spawn-load", saved["script"])
    run(program, way, "spawn-save", tmp_path / "worker.json")
    assert "same" in run(program, "script", "load", tmp_path / "worker.json")


class Plain:
    class Mode(enum.Enum):
        A = 1


def test_a_name_leads_back_to_the_class() -> None:
    """A nested class is found by its lasting name."""
    name = class_name(Plain.Mode)
    assert f"{__name__}:Plain.Mode" == name
    assert Plain.Mode is ClassFinder().find(name)


def test_a_replaced_class_has_no_name() -> None:
    """A class whose name now stands for another one cannot be found again."""
    assert class_name(type("Plain", (), {"__module__": __name__, "__qualname__": "Plain"})) is None


def test_nothing_is_imported_without_leave() -> None:
    """Without `permit` a module that is not loaded stays so, and the error names it."""
    with pytest.raises(BadTree) as caught:
        ClassFinder().find("this:That")
    assert ["this", False] == [caught.value.module, "this" in sys.modules]


def test_permit_decides_before_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `permit` raises passes through, and the module was not imported."""
    (tmp_path / "bad_module_1.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    asked = []

    def permit(module: str) -> None:
        asked.append(module)
        raise PermissionError(module)

    with pytest.raises(PermissionError):
        ClassFinder(permit).find("bad_module_1:X")
    assert ["bad_module_1"] == asked


@pytest.mark.parametrize("source", ["1 / 0", "import not_there_either", "x = 1", "def"])
def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """An import that fails, or a name that is gone, is a BadTree that names the module."""
    (tmp_path / "bad_module_2.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bad_module_2", raising=False)
    with pytest.raises(BadTree, match="bad_module_2"):
        ClassFinder(lambda module: None).find("bad_module_2:X")
    sys.modules.pop("bad_module_2", None)


@pytest.mark.parametrize(
    "name", ["", ":", "x", "os:", ":x", "../x:y", ".x:y", "os:path.sep", "os:nothing", "__main__:No"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    """What is not the name of a class is a BadTree."""
    with pytest.raises(BadTree):
        ClassFinder(lambda module: None).find(name)


def test_two_candidates_are_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's class is not taken from one of two modules of that name."""
    first, second = ModuleType("a.twofold"), ModuleType("b.twofold")
    vars(first)["X"] = vars(second)["X"] = collections.Counter
    monkeypatch.setitem(sys.modules, "a.twofold", first)
    finder = ClassFinder(lambda module: None)
    assert collections.Counter is finder.find("twofold:X")
    monkeypatch.setitem(sys.modules, "b.twofold", second)
    with pytest.raises(BadTree, match="twofold"):
        ClassFinder(lambda module: None).find("twofold:X")
