"""Writes small ONNX files for tests, without the package onnx: the few fields of its format that a chain needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_means(path: Path, side: int, kernel: int) -> None:
    """Write a network from (1,3,side,side) to the means of squares of `kernel` pixels, in one row."""
    ints = _ints("kernel_shape", [kernel, kernel]), _ints("strides", [kernel, kernel])
    nodes = [_node("AveragePool", "x", "means", ints), _node("Flatten", "means", "y")]
    found = 3 * (side // kernel) ** 2
    graph = b"".join(_field(1, node) for node in nodes)
    graph += _field(2, b"means") + _field(11, _tensor("x", [1, 3, side, side])) + _field(12, _tensor("y", [1, found]))
    path.write_bytes(_number(1, 8) + _field(8, _field(1, b"") + _number(2, 13)) + _field(7, graph))


def _node(kind: str, taken: str, given: str, attributes: Sequence[bytes] = ()) -> bytes:
    parts = _field(1, taken.encode()) + _field(2, given.encode()) + _field(3, given.encode()) + _field(4, kind.encode())
    return parts + b"".join(_field(5, one) for one in attributes)


def _ints(name: str, values: Sequence[int]) -> bytes:
    return _field(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7)


def _tensor(name: str, shape: Sequence[int]) -> bytes:
    dimensions = b"".join(_field(1, _number(1, size)) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, 1) + _field(2, dimensions)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
