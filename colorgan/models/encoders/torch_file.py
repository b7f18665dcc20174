"""Files of PyTorch before 1.6, a stream of pickles and raw storages, without PyTorch and without running their code."""

import collections
import math
import os
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from colorgan.errors import UserError, reason
from colorgan.restricted_pickle import RestrictedUnpickler

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage(NamedTuple):
    key: str
    type: str  # a value of _TYPES
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in values


class _Unpickler(RestrictedUnpickler):
    """Knows tensors and dictionaries only."""

    def __init__(self, file: BinaryIO) -> None:
        allowed = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            # A new function: a file can set attributes of what a name stands for.
            ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: _tensor(*arguments),
        }
        super().__init__(file, allowed | {("torch", name): dtype for name, dtype in _TYPES.items()})

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, view = pid
        _require(kind == "storage" and dtype in _TYPES.values() and isinstance(key, str) and view is None, "storage")
        _require(_is_size(size), "storage")
        return _Storage(key, dtype, size)


def read_torch_file(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a state dictionary, float32 or int64, by name.

    Raises:
      UserError: the file cannot be read, has another format, or holds anything but tensors.
    """
    try:
        with open(path, "rb") as file:
            return _read(file)
    except Exception as error:  # unpickling may raise anything
        raise UserError(f"cannot read {os.fspath(path)} as a PyTorch file: {reason(error)}") from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if file.peek(2)[:2] == b"PK":  # type: ignore[attr-defined]
        raise ValueError("it is a zip archive, the format since PyTorch 1.6")
    _require(_Unpickler(file).load() == _MAGIC, "magic number")
    _require(_Unpickler(file).load() == _PROTOCOL, "protocol version")
    _require(_Unpickler(file).load().get("little_endian") is True, "byte order")
    state = _Unpickler(file).load()
    _require(isinstance(state, dict), "dictionary")
    tensors = dict(dict.items(state))
    _require(all(isinstance(name, str) and isinstance(x, _Tensor) for name, x in tensors.items()), "dictionary")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    keys = _Unpickler(file).load()
    _require(isinstance(keys, list) and set(keys) == storages.keys() and len(keys) == len(storages), "list of storages")
    values = {key: _read_storage(file, storages[key]) for key in keys}
    return {name: _array(tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, storage: _Storage) -> np.ndarray:
    _require(int.from_bytes(file.read(8), "little") == storage.size, "number of values")
    num_bytes = storage.size * np.dtype(storage.type).itemsize
    if num_bytes > os.fstat(file.fileno()).st_size - file.tell():
        raise ValueError("it is truncated")
    return np.frombuffer(file.read(num_bytes), storage.type)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    _require(isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(strides, tuple), "tensor")
    _require(len(shape) == len(strides) and all(map(_is_size, (offset, *shape, *strides))), "tensor")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    _require(0 < math.prod(shape) <= storage.size and last < storage.size, "tensor")
    return _Tensor(storage, offset, shape, strides)


def _array(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
    _require(values.dtype == tensor.storage.type and len(values) == tensor.storage.size, "tensor")
    strides = [values.itemsize * stride for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides)  # within bounds, see _tensor


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0


def _require(correct: bool, what: str) -> None:
    if not correct:
        raise ValueError(f"its {what} is not as expected")
