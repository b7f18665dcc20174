"""PyTorch's stream of pickles is read without PyTorch, and nothing in it is executed."""

import collections
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest

from colorgan.errors import UserError
from colorgan.models.encoders.torch_file import read_torch_file

TENSORS: dict[str, np.ndarray] = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7, np.int64)}
FUNCTION = b"ctorch._utils\n_rebuild_tensor_v2\n"  # in a pickle
OFFSET = 4  # of the first tensor in its storage


class _Rebuilt:
    """What PyTorch pickles for a tensor."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return sys.modules["torch._utils"].__dict__["_rebuild_tensor_v2"], self.arguments


class _Reference:
    """What PyTorch pickles for a storage."""

    def __init__(self, *identity):
        self.identity = identity


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.identity if isinstance(obj, _Reference) else None


class _Malicious:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.fixture
def torch_names(monkeypatch):
    """Stands for PyTorch where a file is written: pickle looks names up."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils.__dict__["_rebuild_tensor_v2"] = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


def _write(path, torch, *, size=None, shape=(2, 3), strides=(3, 1), count=None, extra=None):
    """`TENSORS` as PyTorch writes them, with other values where given."""
    storages = {"0": np.concatenate([np.zeros(OFFSET, np.float32), TENSORS["a.weight"].ravel()]), "1": TENSORS["n"]}
    references = [
        _Reference("storage", kind, key, "cpu", storages[key].size if size is None else size, None)
        for kind, key in ((torch.FloatStorage, "0"), (torch.LongStorage, "1"))
    ]
    state = collections.OrderedDict()
    state["a.weight"] = _Rebuilt(references[0], OFFSET, shape, strides, False, collections.OrderedDict())
    state["n"] = _Rebuilt(references[1], 0, (), (), False, collections.OrderedDict())
    state.__dict__["_metadata"] = {"": {"version": 1}}
    if extra is not None:
        state["extra"] = extra
    with path.open("wb") as file:
        for part in (
            0x1950A86A20F9469CFC6C,
            1001,
            {"protocol_version": 1001, "little_endian": True},
            state,
            ["0", "1"],
        ):
            _Pickler(file, 2).dump(part)
        for storage in storages.values():
            file.write(struct.pack("<q", storage.size if count is None else count) + storage.tobytes())
    return path


def test_tensors_are_read(tmp_path, torch_names):
    read = read_torch_file(_write(tmp_path / "weights.pth", torch_names))
    assert read.keys() == TENSORS.keys()
    for name, array in read.items():
        assert array.dtype == TENSORS[name].dtype
        np.testing.assert_array_equal(array, TENSORS[name])
    transposed = read_torch_file(_write(tmp_path / "weights.pth", torch_names, shape=(3, 2), strides=(1, 3)))
    np.testing.assert_array_equal(transposed["a.weight"], TENSORS["a.weight"].T)


def test_code_is_not_executed(tmp_path, torch_names, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = _write(tmp_path / "weights.pth", torch_names, extra=_Malicious())
    with pytest.raises(UserError, match=r"weights.pth as a PyTorch file: it contains posix.system, which is not"):
        read_torch_file(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (2, 4), "strides": (4, 1)}, "tensor is not as expected"),  # beyond its storage
        ({"strides": (30, 1)}, "tensor is not as expected"),
        ({"strides": (-3, 1)}, "tensor is not as expected"),
        ({"shape": (2**40, 3), "strides": (0, 1)}, "tensor is not as expected"),  # huge
        ({"strides": (1,)}, "tensor is not as expected"),
        ({"size": 1 << 60}, "number of values is not as expected"),
        ({"size": 1 << 60, "count": 1 << 60}, "it is truncated"),
        ({"extra": 5}, "dictionary is not as expected"),
    ],
)
def test_wrong_values_are_reported(tmp_path, torch_names, change, message):
    with pytest.raises(UserError, match=message):
        read_torch_file(_write(tmp_path / "weights.pth", torch_names, **change))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and so on", "it is a zip archive"),
        (b"", "Ran out of input"),
        (pickle.dumps(5, 2), "magic number is not as expected"),
        (pickle.dumps([], 2), "magic number is not as expected"),
        (b"\x80\x02" + FUNCTION + b"(" + FUNCTION + b")}Ntb)R.", "state is not a dictionary"),  # an endless recursion
    ],
)
def test_other_files_are_reported(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"cannot read .*weights.pth as a PyTorch file: .*{message}"):
        read_torch_file(path)


def test_a_truncated_or_missing_file_is_reported(tmp_path, torch_names):
    path = _write(tmp_path / "weights.pth", torch_names)
    content = path.read_bytes()
    for length in range(1, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="cannot read"):
            read_torch_file(path)
    with pytest.raises(UserError, match="No such file"):
        read_torch_file(tmp_path / "none.pth")
