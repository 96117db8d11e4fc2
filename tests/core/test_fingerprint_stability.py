"""
The text of a value is the same in every process: other seeds, places, ways to start, and Pythons.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TABLE = Path(__file__).with_name("test_fingerprint_values.py")

# The name under which the table is a script, a module and a worker's main module.
NAME = "cases"


def place_script(directory: Path, *, blank_lines: int = 0) -> Path:
    """Copy the table into `directory`, its lines shifted."""
    directory.mkdir(parents=True, exist_ok=True)
    script = directory / f"{NAME}.py"
    script.write_text("\n" * blank_lines + TABLE.read_text(encoding="utf-8"), encoding="utf-8")
    return script


def texts(directory: Path, *command: str, python: str = sys.executable, seed: str = "0") -> dict[str, str]:
    """Run a command in `directory` and return the texts it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(directory)]),
        "PYTHONHASHSEED": seed,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [python, *command], cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 == done.returncode, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the texts that a script of the table prints."""
    return texts(tmp_path_factory.mktemp("script"), str(place_script(tmp_path_factory.mktemp("here"))))


def differences(expected: dict[str, str], found: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return both texts of every value that has two."""
    assert expected.keys() == found.keys()
    return {name: (expected[name], found[name]) for name in expected if expected[name] != found[name]}


@pytest.mark.parametrize("seed", ["1", "2024"])
def test_hash_seed(expected: dict[str, str], tmp_path: Path, seed: str) -> None:
    """The order in which a process hashes does not matter."""
    assert {} == differences(expected, texts(tmp_path, str(place_script(tmp_path)), seed=seed))


def test_place_and_lines(expected: dict[str, str], tmp_path: Path) -> None:
    """Neither the directory nor the lines of the source matter."""
    script = place_script(tmp_path / "another place", blank_lines=37)

    assert {} == differences(expected, texts(tmp_path, str(script)))


def test_run_as_module(expected: dict[str, str], tmp_path: Path) -> None:
    """`python -m` and `python file` agree."""
    place_script(tmp_path)

    assert {} == differences(expected, texts(tmp_path, "-m", NAME))


def test_imported(expected: dict[str, str], tmp_path: Path) -> None:
    """A program that imports the script agrees with the script."""
    place_script(tmp_path)

    assert {} == differences(expected, texts(tmp_path, "-c", f"import {NAME}; {NAME}.main()"))


@pytest.mark.parametrize("way", ["script", "module"])
def test_spawned_worker(expected: dict[str, str], tmp_path: Path, way: str) -> None:
    """A worker that knows the script as `__mp_main__` agrees with the script."""
    script = place_script(tmp_path)
    command = [str(script)] if way == "script" else ["-m", NAME]

    assert {} == differences(expected, texts(tmp_path, *command, "spawn"))


def find_python(version: str) -> str | None:
    """Return an interpreter of this version, from pyenv or the path."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(root.glob(f"{version}*/bin/python3"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_python_version(expected: dict[str, str], tmp_path: Path, version: str) -> None:
    """Every supported Python agrees."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")

    assert {} == differences(expected, texts(tmp_path, str(place_script(tmp_path)), python=python))


def test_package_main(tmp_path: Path) -> None:
    """A package run as a program, by name or by its folder, names its classes as an import of it would."""
    package = tmp_path / "tool"
    place_script(package).rename(package / "__main__.py")
    (package / "__init__.py").touch()
    by_name = texts(tmp_path, "-m", "tool")

    assert "tool.__main__:Empty{}" == by_name["empty object"]
    assert {} == differences(by_name, texts(tmp_path, str(package)))
    assert {} == differences(by_name, texts(tmp_path, "-c", "from tool.__main__ import main; main()"))


def test_without_file(tmp_path: Path) -> None:
    """A program that has no file keeps the name Python gives it."""
    code = "import json; from checkpoint._core import fingerprint as f; print(json.dumps(f.lasting_module('__main__')))"

    assert "__main__" == texts(tmp_path, "-c", code)
