"""Why this module exists: a GGUF file comes from strangers, so its header is read with limits, by us, first.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. Pure but for the
file it reads. Nothing is allocated by a number in the file that was not held against the file's own size first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"GGUF"
HEADER_CAP = 256 << 20
"""Bytes; vocabularies with their merges take some ten million."""

KEY_CAP, STRING_CAP, VALUES_CAP, KEYS_CAP, TENSORS_CAP = 65_535, 16 << 20, 4_000_000, 4096, 65_536
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

BLOCKS = {
    0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136),
}  # fmt: skip
"""Values and bytes of a block: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K … Q6_K, IQ4_NL, IQ4_XS."""


class BadGguf(ValueError):
    """A file that is not what its header says, or not GGUF; the text says why."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor as the header declares it. ``size``: bytes at ``offset`` of the data section."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    size: int

    @property
    def num_elements(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True)
class GgufHeader:
    """Key-value pairs (of arrays only the length, as ``range``) and tensors."""

    values: dict[str, Any]
    tensors: tuple[GgufTensor, ...]

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def number(self, key: str) -> int:
        """A whole number under ``ARCHITECTURE.key``, or 0."""
        found = self.values.get(f"{self.architecture}.{key}", 0)
        return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else 0

    def length(self, key: str) -> int:
        """How long the array under ``key`` is, or 0."""
        found = self.values.get(key)
        return len(found) if isinstance(found, range) else 0


def read_header(file: Path) -> GgufHeader:
    """The header of a file. Raises ``BadGguf``: another format or version, counts, lengths or offsets that do not fit
    the file, unknown quantisations, names that come twice; ``OSError``."""
    total = file.stat().st_size
    with file.open("rb") as opened:
        reader = _Reader(opened, min(total, HEADER_CAP))
        if reader.take(4) != MAGIC:
            raise BadGguf("it does not begin as a GGUF file")
        version = reader.scalar("<I")
        if version not in (2, 3):
            raise BadGguf(f"it is GGUF of version {version}, not 2 or 3")
        num_tensors, num_keys = reader.scalar("<Q"), reader.scalar("<Q")
        if num_tensors > TENSORS_CAP or num_keys > KEYS_CAP:
            raise BadGguf(f"it declares {num_tensors} tensors and {num_keys} keys")
        values: dict[str, Any] = {}
        for _ in range(num_keys):
            key = reader.string(KEY_CAP)
            if key in values:
                raise BadGguf(f"the key {key[:64]!r} comes twice")
            values[key] = reader.value(reader.scalar("<I"))
        tensors = [_tensor(reader) for _ in range(num_tensors)]
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0 or alignment > 1 << 20 or alignment & (alignment - 1):
            raise BadGguf("its alignment is not a power of two")
        start = -(-opened.tell() // alignment) * alignment
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise BadGguf("a tensor comes twice")
    end = 0
    for tensor in sorted(tensors, key=lambda one: one.offset):
        if tensor.offset < end or tensor.offset % alignment:
            raise BadGguf(f"the tensor {tensor.name[:64]!r} lies over another one")
        end = tensor.offset + tensor.size
    if tensors and start + end > total:
        raise BadGguf(f"it has {total} bytes, and its tensors end at {start + end}")
    return GgufHeader(values, tuple(tensors))


def _tensor(reader: _Reader) -> GgufTensor:
    name = reader.string(KEY_CAP)
    num_dims = reader.scalar("<I")
    if not 1 <= num_dims <= 4:
        raise BadGguf(f"the tensor {name[:64]!r} has {num_dims} dimensions")
    shape = tuple(reader.scalar("<Q") for _ in range(num_dims))
    kind, offset = reader.scalar("<I"), reader.scalar("<Q")
    if kind not in BLOCKS:
        raise BadGguf(f"the tensor {name[:64]!r} is quantised in a way (number {kind}) that no rule is written for")
    count = 1
    for length in shape:
        count *= length
    values, size = BLOCKS[kind]
    if not 0 < count < 1 << 48 or shape[0] % values:
        raise BadGguf(f"the tensor {name[:64]!r} has {count} elements")
    return GgufTensor(name, shape, kind, offset, count // values * size)


class _Reader:
    def __init__(self, file: BinaryIO, cap: int) -> None:
        self._file, self._left = file, cap

    def take(self, size: int) -> bytes:
        if size > self._left:
            raise BadGguf("its header ends too early, or is too large")
        self._left -= size
        found = self._file.read(size)
        if len(found) != size:
            raise BadGguf("its header is cut off")
        return found

    def scalar(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def string(self, cap: int) -> str:
        length = self.scalar("<Q")
        if length > cap:
            raise BadGguf(f"a text in its header has {length} bytes")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise BadGguf("a text in its header is not UTF-8") from error

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string(STRING_CAP)
        if kind != _ARRAY:
            raise BadGguf(f"a value in its header is of an unknown kind ({kind})")
        inner, count = self.scalar("<I"), self.scalar("<Q")
        if count > VALUES_CAP or (inner not in _SCALARS and inner != _STRING):
            raise BadGguf(f"an array in its header has {count} values of kind {inner}")
        if inner == _STRING:
            for _ in range(count):
                self.take(self._length())
        else:
            self.take(count * struct.calcsize(_SCALARS[inner]))
        return range(count)

    def _length(self) -> int:
        length: int = self.scalar("<Q")
        if length > STRING_CAP:
            raise BadGguf(f"a text in its header has {length} bytes")
        return length
