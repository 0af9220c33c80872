"""Plain data comes out of pickles; code in them is refused, with nothing executed."""

import builtins
import functools
import importlib
import operator
import os
import pickle
import struct
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.errors import ModelError
from knowncircuits.models.interop.pickles import MAX_BYTES, Record, read_pickle

CONFIG = ("transformer_lens.HookedTransformerConfig", "HookedTransformerConfig")
NODE = ("circuits_benchmark.utils.circuit.circuit_node", "CircuitNode")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(folder: Path, content: bytes) -> Any:
    path = folder / "data.pkl"
    path.write_bytes(content)
    return read_pickle(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickles")


@given(plain, st.sampled_from(range(pickle.HIGHEST_PROTOCOL + 1)))
def test_plain_data(folder: Path, data: object, protocol: int) -> None:
    assert read(folder, pickle.dumps(data, protocol)) == data


def test_known_types(folder: Path) -> None:
    data = {
        "sets": [{1, 2}, frozenset("ab")],
        "bytes": b"\x00\xff",
        "numbers": [np.float64(0.1), np.float32(0.5), np.int64(-3)],
    }
    back = read(folder, pickle.dumps(data))
    assert back == data
    assert [type(number) for number in back["numbers"]] == [float, float, int]
    assert read(folder, pickle.dumps([torch.float32, torch.float64])) == [
        "torch.float32",
        "torch.float64",
    ]
    device = read(folder, pickle.dumps(torch.device("cuda", 1)))
    assert (device.name, device.args) == ("torch.device", ("cuda", 1))


def test_numbers_of_numpy_1(folder: Path) -> None:
    content = pickle.dumps(np.float64(0.1), 3)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert read(folder, old) == 0.1


@pytest.mark.parametrize(("module", "name"), [CONFIG, NODE])
def test_objects_become_records(
    module: str, name: str, folder: Path, stand_in: Callable[[str, str], type]
) -> None:
    made = stand_in(module, name)()
    made.n_layers, made.name = 2, "custom"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        record = read(folder, pickle.dumps(made, protocol))
        assert isinstance(record, Record)
        assert (record.name, record.args) == (f"{module}.{name}", ())
        assert record.state == {"n_layers": 2, "name": "custom"}


def text(string: str) -> bytes:
    return pickle.SHORT_BINUNICODE + struct.pack("B", len(string)) + string.encode()


def named(module: str, name: str) -> bytes:
    """What loads a global, dots in its name included."""
    return text(module) + text(name) + pickle.STACK_GLOBAL


def test_no_state_reaches_a_class(folder: Path) -> None:
    state = pickle.dumps((None, {"__class__": 1, "args": 2, "__init__": 3}), 4)[2:-1]
    obj = b"\x80\x04" + named(*CONFIG) + b")\x81" + state + b"b."
    record = read(folder, obj)
    assert isinstance(record, Record)
    assert (record.args, record.state[1]["args"]) == ((), 2)
    for target in (named(*CONFIG), named("torch", "device"), named("builtins", "set")):
        with pytest.raises(ModelError, match="expected a pickle of plain data"):
            read(folder, b"\x80\x04" + target + state + b"b.")
    assert read(folder, b"\x80\x04" + named(*CONFIG) + b")\x81.").args == ()


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call

    def __call__(self) -> None:
        """So that pickle takes the outcome for a function."""


class Restored:
    """Pickles as an object whose class runs code of its own when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __getstate__(self) -> str:
        return str(self.marker)

    def __setstate__(self, state: str) -> None:
        Path(state).touch()


def old(opcodes: bytes) -> Callable[[Path], bytes]:
    return lambda marker: opcodes.replace(b"?", f"touch {marker}".encode())


# What each would run creates the marker; what the error names.
HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "os.system": (lambda m: Call(os.system, f"touch {m}"), "posix.system"),
    "subprocess": (lambda m: Call(subprocess.call, ["touch", str(m)]), "subprocess.call"),
    "eval": (lambda m: Call(eval, f"__import__('os').mkdir({str(m)!r})"), "builtins.eval"),
    "exec": (lambda m: Call(exec, f"import os; os.mkdir({str(m)!r})"), "builtins.exec"),
    "getattr": (
        lambda m: Call(Call(getattr, Call(importlib.import_module, "os"), "mkdir"), str(m)),
        "builtins.getattr",
    ),
    "method": (lambda m: Call(m.touch), "builtins.getattr"),
    "operator": (lambda m: Call(operator.methodcaller("touch"), m), "operator.methodcaller"),
    "partial": (lambda m: Call(functools.partial(os.mkdir, m)), "functools.partial"),
    "setstate": (Restored, "Restored"),
    "in a list": (lambda m: [1, {"a": (Call(os.system, f"touch {m}"),)}], "posix.system"),
    "as an argument": (lambda m: Call(set, Call(os.listdir, m)), "posix.listdir"),
    "open": (lambda m: Call(builtins.open, str(m), "w"), "io.open"),
    "dotted": (
        lambda m: b"\x80\x04" + named("pathlib", "os.system") + text(f"touch {m}") + b"\x85R.",
        "pathlib.os.system",
    ),
    "dotted after a known name": (
        lambda m: b"\x80\x04" + named("torch", "os.system") + text(f"touch {m}") + b"\x85R.",
        "torch.os.system",
    ),
    "GLOBAL": (old(b"cos\nsystem\n(S'?'\ntR."), "os.system"),
    "INST": (old(b"(S'?'\nios\nsystem\n."), "os.system"),
    "OBJ": (old(b"(cos\nsystem\nS'?'\no."), "os.system"),
}
HARMLESS = {"as an argument", "open"}  # what they run makes no marker, or is closed too late


@pytest.mark.parametrize("attack", HOSTILE)
def test_code_is_refused(attack: str, tmp_path: Path) -> None:
    make, refused = HOSTILE[attack]
    marker = tmp_path / "marker"
    hostile = make(marker)
    content = hostile if isinstance(hostile, bytes) else pickle.dumps(hostile)
    path = tmp_path / "data.pkl"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"expected plain data in .*{refused}; nothing was run"):
        read_pickle(path)
    assert not marker.exists()
    if attack not in HARMLESS:  # it is an attack indeed
        pickle.loads(content)
        assert marker.exists()


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (pickle.dumps(np.zeros(2)), "numpy._core"),
        (pickle.dumps(complex(1, 2)), "builtins.complex"),
        (pickle.dumps(OrderedDict()), "collections.OrderedDict"),
        (b"\x80\x04" + named(CONFIG[0], CONFIG[1] + ".__init__") + b".", "__init__"),
        (b"\x80\x04" + named("torch", "load") + b".", "torch.load"),
        (b"\x80\x04" + named("a_module_that_is_not", "there") + b".", "a_module_that_is_not"),
        (b"\x80\x04" + text("x") + b"Q.", "the opcode BINPERSID"),
        (b"Px\n.", "the opcode PERSID"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
        (b"\x80\x05\x97.", "the opcode NEXT_BUFFER"),
        (b"\x80\x04Nr" + struct.pack("<I", 2**31) + b".", "the place 2147483648 in a memo"),
        (b"Np99999999999\n.", "the place 99999999999 in a memo"),
    ],
)
def test_more_than_data_is_refused(content: bytes, refused: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=f"expected plain data in .*{refused}.*nothing was run"):
        read(folder, content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        b"PK\x03\x04",
        b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",  # a terabyte of bytes
        b"\x80\xff.",
        b"K\x01K\x02u.",
        b"(" * 100_000,
        b"\x80\x04" + named("torch", "float32") + b")R.",  # a name is nothing to call
        b"\x80\x04" + named("numpy._core.multiarray", "scalar") + text("f8") + b"\x85R.",
    ],
)
def test_broken_pickles(content: bytes, folder: Path) -> None:
    with pytest.raises(ModelError, match="expected a pickle of plain data in .*, got .*Error"):
        read(folder, content)


@given(plain, st.data())
def test_cut_off_pickles(folder: Path, data: object, draw: st.DataObject) -> None:
    content = pickle.dumps(data)
    length = draw.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ModelError, match="expected a pickle of plain data"):
        read(folder, content[:length])


def test_large_files_are_not_read(folder: Path) -> None:
    with pytest.raises(ModelError, match=f"got {MAX_BYTES + 1} bytes, more than {MAX_BYTES}"):
        read(folder, b"." * (MAX_BYTES + 1))


def nested_tuples(n: int) -> bytes:
    return b"\x80\x04N" + b"\x85" * n + b"."


def doubled_tuples(n: int) -> bytes:
    """Each holds the one before twice: hashing the last goes through 2^n."""
    return b"\x80\x04}N" + b"2\x86" * n + b"K\x01s."


def many_sets(n: int) -> bytes:
    """A list of a thousand numbers, and then set() of it again and again."""
    numbers = b"".join(b"M" + struct.pack("<H", i) for i in range(1000))
    call = b"h\x00h\x01R"
    return (
        b"\x80\x04"
        + named("builtins", "set")
        + b"\x94]("
        + numbers
        + b"e\x85\x94"
        + call * n
        + b"."
    )


def many_classes(n: int) -> bytes:
    return b"\x80\x04" + named(*CONFIG) * n + b"."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nested_tuples(1_000_000), "more than 50 objects in each other"),
        (b"\x80\x04}" + nested_tuples(100_000)[2:-1] + b"K\x01s.", "more than 50 objects in each"),
        (doubled_tuples(40), "more than 2000000 objects in others"),
        (many_sets(100_000), "more than 2000000 objects in others"),
        (many_classes(10_000), "more than 2000000 objects in others"),
        (b"]" * 100 + b"(" * 500_000, "got"),
    ],
)
def test_pickles_that_stand_for_too_much(content: bytes, message: str, folder: Path) -> None:
    """The first would end the process by its depth, the others take gigabytes, or for ever."""
    with pytest.raises(ModelError, match=f"expected .* in .*, {message}|got {message}"):
        read(folder, content)


def test_a_release_is_far_below_the_bounds(
    folder: Path, stand_in: Callable[[str, str], type]
) -> None:
    node = stand_in(*NODE)
    edges = []
    for i in range(10_000):
        pair = node(), node()
        for one in pair:
            one.name, one.index = f"blocks.{i}.attn.hook_result", i
        edges.append(pair)
    assert len(read(folder, pickle.dumps(edges))) == 10_000


def test_pipes_are_no_pickles(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="got something that is no regular file"):
        read_pickle(tmp_path / "pipe")
