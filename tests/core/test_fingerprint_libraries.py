"""
Values of other libraries: numpy, pydantic, attrs, msgspec, pandas, polars, and torch by a stand-in.
"""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from checkpoint._core.fingerprint import NoLastingValue, canonical, find_culprit

attrs = pytest.importorskip("attrs")
msgspec = pytest.importorskip("msgspec")
np = pytest.importorskip("numpy")
pydantic = pytest.importorskip("pydantic")

# Just above what is copied whole.
LARGE = 400


def same(first: object, second: object) -> bool:
    """Whether two values have the same text."""
    return canonical(first) == canonical(second)


ARRAYS = {
    "ints": np.arange(6),
    "other ints": np.arange(1, 7),
    "shape": np.arange(6).reshape(2, 3),
    "turned shape": np.arange(6).reshape(3, 2),
    "int32": np.arange(6, dtype="i4"),
    "big endian dtype": np.dtype(">f4"),
    "floats": np.arange(6.0),
    "bools": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "other empty": np.zeros((3, 0)),
    "scalar array": np.array(1),
    "scalar": np.int64(1),
    "float scalar": np.float64(1),
    "python": 1,
    "strings": np.array(["a", "bc"]),
    "objects": np.array([1, "a", None], dtype=object),
    "dates": np.array(["2024-01-01"], dtype="M8[D]"),
    "date scalar": np.datetime64("2024-01-01"),
    "structured": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "other names": np.array([(1, 2.0)], dtype=[("a", "i4"), ("c", "f8")]),
    "masked": np.ma.array([1, 2], mask=[False, True]),
    "unmasked": np.ma.array([1, 2], mask=[False, False]),
    "complex": np.array([1 + 2j]),
    "long double": np.array([1.5], dtype=np.longdouble),
    "dtype": np.dtype("f4"),
    "dtype class": np.float32,
    "function": np.sin,
    "other function": np.cos,
    "record": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
}


def test_arrays_differ() -> None:
    """Contents, shape, dtype, byte order and kind all count."""
    texts = {name: canonical(value) for name, value in ARRAYS.items()}

    assert len(texts) == len(set(texts.values())), texts


@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_survive_pickling(value: Any) -> None:
    """A saved and loaded array is the same argument."""
    assert same(value, pickle.loads(pickle.dumps(value)))


@pytest.mark.parametrize("size", [5, LARGE])
def test_memory_order(size: int) -> None:
    """Fortran order, views and copies of equal contents are one value."""
    plain = np.arange(size * size, dtype="f8").reshape(size, size)
    wide = np.zeros((size, 2 * size))
    wide[:, ::2] = plain

    assert same(plain, np.asfortranarray(plain))
    assert same(plain, wide[:, ::2])
    assert same(plain, plain[::-1][::-1].copy())


@pytest.mark.parametrize("size", [5, LARGE])
def test_byte_order(size: int) -> None:
    """The byte order of an array is how it lies in memory: saving and loading turns it."""
    assert same(np.arange(size * size, dtype="<i8"), np.arange(size * size, dtype=">i8"))


def test_wide_rows() -> None:
    """An array whose single row is larger than a piece is still hashed in pieces."""
    wide = np.zeros((2, 2 * 300_000))
    wide[:, 1::2] = 7

    assert same(wide[:, ::2].copy(), wide[:, ::2])


@pytest.mark.parametrize("size", [5, LARGE])
def test_last_element_counts(size: int) -> None:
    """Every element counts, however large the array."""
    array = np.zeros((size, size))
    changed = array.copy()
    changed[-1, -1] = 1

    assert not same(array, changed)


def test_halves_of_an_array_differ() -> None:
    """A view is its own contents, not those of the array beneath."""
    array = np.arange(10)

    assert not same(array[:5], array[5:])


def test_padding_does_not_count() -> None:
    """Bytes between the fields of a structured array are no value."""
    dtype = np.dtype([("a", "u1"), ("b", "i4")], align=True)
    first, second = (np.frombuffer(bytes([1, pad, pad, pad, 2, 0, 0, 0]), dtype=dtype) for pad in (0, 255))

    assert same(first, second)


def test_masked_contents_do_not_count() -> None:
    """What lies under a mask is no value."""
    assert same(np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 9], mask=[False, True]))


def test_variable_strings() -> None:
    """Strings of variable width are told by their contents, not by where they lie."""
    kind = getattr(getattr(np, "dtypes", None), "StringDType", None)
    if kind is None:
        pytest.skip("numpy before 2.0 has no strings of variable width")
    long = "x" * 100

    assert same(np.array(["a", long], dtype=kind()), np.array(["a", "x" + long[1:]], dtype=kind()))
    assert not same(np.array(["a", long], dtype=kind()), np.array(["b", long], dtype=kind()))


def test_mapped_file(tmp_path: Path) -> None:
    """A mapped file is its contents, wherever it lies."""
    texts = []
    for name in ("a", "b"):
        mapped = np.memmap(tmp_path / name, dtype="i4", mode="w+", shape=(3,))
        mapped[:] = [1, 2, 3]
        texts.append(canonical(mapped))

    assert texts[0] == texts[1]


def test_random_generator() -> None:
    """A random generator is its state."""
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    assert same(first, second)
    second.random()
    assert not same(first, second)


def test_culprit_in_an_array() -> None:
    """A value inside an array of objects is named by its place."""
    array = np.array([1, threading.Lock()], dtype=object)

    assert "rows.flat[1]" == find_culprit(array, "rows")


@attrs.define
class Attrs:
    a: int
    b: list[int] = attrs.field(factory=list)
    cache: object = attrs.field(default=None, eq=False)


@attrs.frozen(slots=False)
class Frozen:
    a: int


def test_attrs() -> None:
    """An attrs class is its compared fields, slotted or not."""
    assert same(Attrs(1, [2], cache=1), Attrs(b=[2], a=1, cache=2))
    assert not same(Attrs(1), Attrs(2))
    assert not same(Frozen(1), Attrs(1))


class Model(pydantic.BaseModel):  # type: ignore[misc]  # untyped in some environments
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = 1
    b: list[int] = []  # noqa: RUF012 - pydantic copies it
    old: int = pydantic.Field(default=0, deprecated="not any more")
    _private: object = pydantic.PrivateAttr(default=None)

    @functools.cached_property
    def total(self) -> int:
        return sum(self.b)


class Root(pydantic.RootModel[list[int]]):  # type: ignore[misc]  # as above
    pass


class Secretive(pydantic.BaseModel):  # type: ignore[misc]  # as above
    key: pydantic.SecretStr
    url: pydantic.AnyUrl


def test_pydantic_fields_set() -> None:
    """Which fields were given, cached properties and private attributes are no part of a model's value."""
    used = Model(b=[1])
    assert 1 == used.total
    used._private = 3

    assert same(used, Model(a=1, b=[1]))


def test_pydantic_values() -> None:
    """Fields and extra fields count."""
    assert 4 == len({canonical(model) for model in (Model(), Model(a=2), Model(c=1), Model(c=2))})


def test_pydantic_root() -> None:
    """A root model is its root."""
    assert same(Root([1]), Root([1]))
    assert not same(Root([1]), Root([2]))


def test_pydantic_unset_fields() -> None:
    """A model made without validation may lack fields."""
    assert same(Model.model_construct(_fields_set=set(), a=1), Model())


def test_pydantic_secrets() -> None:
    """A secret identifies the call like any other value."""
    first, second = (Secretive(key=key, url="http://a.example") for key in ("x", "y"))

    assert not same(first, second)
    assert same(first, pickle.loads(pickle.dumps(first)))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 does not support this Python")
def test_old_pydantic() -> None:
    """Models of pydantic 1 are their fields too."""
    from pydantic import v1

    class Old(v1.BaseModel):  # type: ignore[misc]  # as above
        a: int = 1
        b: int = 2

    assert same(Old(a=1), Old(b=2))
    assert not same(Old(a=1), Old(a=2))


class Struct(msgspec.Struct):  # type: ignore[misc]  # as above
    a: int
    b: str = "x"


def test_msgspec() -> None:
    """A struct is its fields."""
    assert same(Struct(1), Struct(b="x", a=1))
    assert not same(Struct(1), Struct(2))


def test_equal_looking_classes_differ() -> None:
    """Classes of one shape and different names are different values."""
    assert 3 == len({canonical(value) for value in (Frozen(1), Model(a=1), Struct(1))})


def test_pandas() -> None:
    """A table is its columns, index and types, not the blocks they lie in."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    built = pd.DataFrame({"a": [1, 2]})
    built["b"] = [3, 4]

    assert same(frame, built)
    assert same(frame, pickle.loads(pickle.dumps(frame)))
    others = [
        frame["a"],
        frame.rename(columns={"b": "c"}),
        frame.astype("int32"),
        frame.iloc[::-1],
        frame.assign(b=[3, 5]),
        frame[["b", "a"]],
        frame.astype("Int64"),
        frame.astype({"a": "category"}),
        frame.set_index("a"),
        frame.set_index(["a", "b"]),
    ]
    texts = {canonical(other) for other in [frame, *others]}
    assert len(texts) == 1 + len(others)


def test_pandas_kinds() -> None:
    """Dates, zones, gaps, strings and intervals are values."""
    pd = pytest.importorskip("pandas")
    values = [
        pd.Series(["a", None]),
        pd.Series(pd.to_datetime(["2024-01-01"])),
        pd.Series(pd.to_datetime(["2024-01-01"]).tz_localize("UTC")),
        pd.Series(pd.period_range("2024", periods=1, freq="Y")),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a", "b"], dtype="category"),
        pd.Series(["a", "b"], dtype="string"),
        pd.Series([1.5], name="x"),
        pd.Timestamp("2024-01-01"),
        pd.Timestamp("2024-01-01", tz="Europe/Berlin"),
        pd.Timedelta(1, "s"),
        pd.NaT,
        pd.NA,
        pd.Index([1, 2]),
        pd.Index([1, 2], name="i"),
        pd.MultiIndex.from_product([[1], ["a"]]),
        pd.interval_range(0, 2),
    ]
    texts = [canonical(value) for value in values]

    assert len(texts) == len(set(texts)), texts
    assert texts == [canonical(value) for value in pickle.loads(pickle.dumps(values))]


def test_polars() -> None:
    """A table is its columns, not the chunks they lie in; a query is no value."""
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    chunked = pl.concat([frame[:1], frame[1:]], rechunk=False)

    assert same(frame, chunked)
    texts = {
        canonical(value)
        for value in (frame, frame["a"], frame.select("a"), frame.reverse(), frame.cast({"a": pl.Int8}))
    }
    assert 5 == len(texts)
    with pytest.raises(NoLastingValue, match="not computed"):
        canonical(frame.lazy())


class FakeTensor:
    """As much of a torch tensor as the encoder uses."""

    layout, is_quantized, dtype = "torch.strided", False, "torch.float32"

    def __init__(self, array: Any) -> None:
        self.array, self.shape = np.asarray(array), np.shape(array)

    def detach(self) -> FakeTensor:
        return self

    cpu = contiguous = resolve_conj = resolve_neg = detach

    def reshape(self, _shape: int) -> FakeTensor:
        return FakeTensor(self.array.reshape(-1))

    def is_conj(self) -> bool:
        return False

    is_neg = is_conj

    def view(self, dtype: Any) -> FakeTensor:
        return FakeTensor(self.array.view(dtype))

    def numpy(self) -> Any:
        return self.array


FakeTensor.__module__, FakeTensor.__qualname__ = "torch", "Tensor"


def test_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor is its dtype, shape and bytes."""
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(uint8="u1"))

    assert same(FakeTensor([1.0, 2.0]), FakeTensor([1.0, 2.0]))
    assert 3 == len({canonical(FakeTensor(value)) for value in ([1.0, 2.0], [[1.0, 2.0]], [1.0, 3.0])})


def test_nothing_is_imported() -> None:
    """Fingerprinting plain values imports no other library."""
    code = (
        "import sys; from checkpoint._core.fingerprint import canonical; import decimal, pathlib;"
        "canonical([1, 'a', pathlib.Path('a'), decimal.Decimal(1), object, {1: {2}}]);"
        "heavy = {'numpy', 'pandas', 'polars', 'torch', 'attr', 'pydantic', 'wrapt', 'asyncio'};"
        "print(sorted(heavy.intersection(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parent.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[]" == done.stdout.strip()
