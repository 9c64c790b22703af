"""The arrays of a NetCDF file, whole or a slice of the first dimension, without decoding: classic files here, NetCDF-4 ones by netCDF4.

Argo's archive is almost all classic NetCDF-3, whose header is a few kilobytes and whose arrays lie as they are: reading them in place takes a third
of the time that the general library needs, and every extent is compared with the size of the file before anything is allocated.
Add here what concerns the container. What the variables mean belongs to `argo`.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from water_pipelines.parsers.contract import UnreadableFile

CLASSIC = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
HDF5 = b"\x89HDF\r\n\x1a\n"

_MOST_COMPRESSED = 1_100  # deflate cannot do better than 1,032 to 1
_MAPPED_BYTES = 1 << 24
_DAMAGED = "Its transfer was not complete, or it is damaged: fetch and drop it again."


class Variable(NamedTuple):
    """Shape and kind of a variable: names of its dimensions, numpy's type (S1 for characters), and where a classic file holds it.

    `stride` is the distance between two records where the first dimension is the unlimited one, else 0.
    """

    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    begin: int = 0
    stride: int = 0


class Arrays(Protocol):
    """A NetCDF file's arrays by the names of its variables."""

    @property
    def dimensions(self) -> Mapping[str, int]:
        """Lengths by name."""
        ...

    @property
    def variables(self) -> Mapping[str, Variable]:
        """All variables by name."""
        ...

    def read(self, name: str, part: slice = slice(None)) -> NDArray[Any]:
        """A variable as it is stored, or a part of it along its first dimension; UnreadableFile names it where it cannot be read."""
        ...


def open_arrays(stream: BinaryIO) -> Arrays:
    """The arrays of a seekable stream.

    Raises
    ------
    UnreadableFile
        It is no NetCDF file, is cut off, or declares a variable that is longer than any file can be.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    start = stream.read(8)
    stream.seek(0)
    if start.startswith(CLASSIC):
        return _Classic(_mapped(stream) if size > _MAPPED_BYTES else stream.read())
    if start == HDF5:
        return _Hdf5(stream.read())
    raise UnreadableFile("The file is not NetCDF: it does not begin as NetCDF files do.")


def _mapped(stream: BinaryIO) -> bytes | mmap.mmap:
    try:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, AttributeError):  # it is not a file of the system, but a member of an archive or bytes
        return stream.read()


_U4, _U8 = struct.Struct(">I"), struct.Struct(">Q")
_TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
_DTYPES = {code: np.dtype(name) for code, name in _TYPES.items()}
_SIZES = {code: dtype.itemsize for code, dtype in _DTYPES.items()}
KEPT = ("_FillValue", "units", "scale_factor", "add_offset")
_KEPT = {name.encode() for name in KEPT}
_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
_MOST_LAYOUTS = 32


class _Declared(NamedTuple):
    """A variable as the header declares it; `dimensions` are numbers of dimensions."""

    name: str
    dimensions: tuple[int, ...]
    attributes: Mapping[str, Any]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Layout:
    """The list of variables of a header, which is the same in all files of a data centre and a format version but for sizes and offsets.

    Parameters
    ----------
    version : the format's.
    blank : the list with the sizes and offsets set to 0.
    holes : int64[h], the places of their bytes within it.
    offsets : int64[v, w], those of the offsets alone, a row a variable.
    """

    version: int
    blank: bytes
    holes: NDArray[np.int64]
    offsets: NDArray[np.int64]
    declared: tuple[_Declared, ...]

    def begins(self, raw: bytes) -> list[int] | None:
        """The offsets that another list holds, or None where it has another layout."""
        array = np.frombuffer(bytearray(raw), np.uint8)
        if len(array) != len(self.blank):
            return None
        held = array[self.offsets]
        array[self.holes] = 0
        if array.tobytes() != self.blank:
            return None
        begins: list[int] = held.view(f">u{held.shape[1]}")[:, 0].tolist()
        return begins


class _Classic:
    """A classic file (CDF-1, CDF-2 or CDF-5) whose header was read; see the NetCDF classic format specification."""

    _layouts: ClassVar[list[_Layout]] = []  # the most recently used first

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        try:
            self._read_header()
        except (struct.error, IndexError, KeyError, ValueError, OverflowError) as error:
            raise UnreadableFile(f"The header of the NetCDF file is cut off or damaged. {_DAMAGED}") from error

    def _read_header(self) -> None:
        version = self._data[3]
        self._word = _U8 if version == 5 else _U4
        self._offset = _U4 if version == 1 else _U8
        self._at = 4
        records = self._next(self._word)
        if records == (1 << (8 * self._word.size)) - 1:
            records = 0  # written as a stream: without a count, there is no record that is known to be whole
        named = [(self._name().decode(), self._next(self._word)) for _ in range(self._list(_DIMENSION))]
        self._attributes()
        layout, begins = self._variables()
        self.dimensions = {name: length or records for name, length in named}
        self.variables: dict[str, Variable] = {}
        shapes: dict[tuple[int, ...], tuple[tuple[str, ...], tuple[int, ...], int, bool]] = {}
        recorded: list[str] = []
        for (name, dimensions, attributes, dtype), begin in zip(layout.declared, begins, strict=True):
            if dimensions not in shapes:
                shape = tuple([named[number][1] for number in dimensions])
                is_record = bool(shape) and shape[0] == 0
                if is_record:
                    shape = (records, *shape[1:])
                shapes[dimensions] = tuple([named[number][0] for number in dimensions]), shape, math.prod(shape), is_record
            names, shape, count, is_record = shapes[dimensions]
            self.variables[name] = Variable(names, shape, dtype, attributes, begin)
            if is_record:
                recorded.append(name)
            elif begin + count * dtype.itemsize > len(self._data) and count:
                raise self._truncated(name, begin + count * dtype.itemsize)
        self._set_stride(recorded)

    def _set_stride(self, recorded: list[str]) -> None:
        """Record variables lie interleaved: the distance between two records of one is the length of a record of all."""
        lengths = [math.prod(self.variables[name].shape[1:]) * self.variables[name].dtype.itemsize for name in recorded]
        stride = lengths[0] if len(lengths) == 1 else sum(length + (-length & 3) for length in lengths)
        for name, length in zip(recorded, lengths, strict=True):
            each = self.variables[name]
            self.variables[name] = Variable(each.dimensions, each.shape, each.dtype, each.attributes, each.begin, stride)
            end = each.begin + (each.shape[0] - 1) * stride + length
            if each.shape[0] and length and end > len(self._data):
                raise self._truncated(name, end)

    def _truncated(self, name: str, end: int) -> UnreadableFile:
        shape = _shape(self.variables[name])
        return UnreadableFile(
            f"The NetCDF file is truncated: the variable {name} {shape} ends at byte {end:,}, the file at {len(self._data):,}. {_DAMAGED}"
        )

    def _next(self, kind: struct.Struct) -> int:
        value: int = kind.unpack_from(self._data, self._at)[0]
        self._at += kind.size
        return value

    def _name(self) -> bytes:
        length = self._next(self._word)
        at = self._at
        if length > len(self._data) - at:
            raise IndexError
        self._at = at + length + (-length & 3)
        return self._data[at : at + length]

    def _list(self, tag: int) -> int:
        """How many entries of a list follow."""
        found, count = self._next(_U4), self._next(self._word)
        if found not in (0, tag) or (found == 0 and count):
            raise IndexError
        return count

    def _attributes(self) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for _ in range(self._list(_ATTRIBUTE)):
            name = self._name()
            code, count = self._next(_U4), self._next(self._word)
            at, length = self._at, count * _SIZES[code]
            if length > len(self._data) - at:
                raise IndexError
            if name in _KEPT and length:
                raw = self._data[at : at + length]
                kept[name.decode()] = raw.decode("utf-8", "replace") if code == 2 else np.frombuffer(raw, _DTYPES[code])[0].item()
            self._at = at + length + (-length & 3)
        return kept

    def _variables(self) -> tuple[_Layout, list[int]]:
        """The variables and their offsets: by a layout that was met before, or else one after the other."""
        version = self._data[3]
        for place, layout in enumerate(self._layouts):
            begins = layout.begins(self._data[self._at : self._at + len(layout.blank)]) if layout.version == version else None
            if begins is not None:
                self._layouts.insert(0, self._layouts.pop(place))
                return layout, begins
        start = self._at
        declared, begins, sizes = [], [], []
        for _ in range(self._list(_VARIABLE)):
            name = self._name().decode()
            dimensions = tuple([self._next(self._word) for _ in range(self._next(self._word))])
            attributes = self._attributes()
            declared.append(_Declared(name, dimensions, attributes, _DTYPES[self._next(_U4)]))
            sizes.append(self._at - start)
            self._next(self._word)  # the size, which overflows where it matters: it is computed instead
            begins.append(self._next(self._offset))
        at = np.array(sizes, np.int64).reshape(-1, 1)
        holes = (at + np.arange(self._word.size + self._offset.size)).ravel()
        blank = np.frombuffer(bytearray(self._data[start : self._at]), np.uint8)
        blank[holes] = 0
        layout = _Layout(version, blank.tobytes(), holes, at + self._word.size + np.arange(self._offset.size), tuple(declared))
        self._layouts[:] = [layout, *self._layouts[: _MOST_LAYOUTS - 1]]
        return layout, begins

    def read(self, name: str, part: slice = slice(None)) -> NDArray[Any]:
        each = self.variables[name]
        shape, dtype = each.shape, each.dtype
        if not each.stride:
            count = math.prod(shape)
            array: NDArray[Any] = np.frombuffer(self._data, dtype, count, each.begin).reshape(shape) if count else np.empty(shape, dtype)
            return array[part] if shape else array
        inner = math.prod(shape[1:])
        places = range(shape[0])[part]
        if not (inner and places):
            return np.empty((len(places), *shape[1:]), dtype)
        strided: NDArray[Any] = np.ndarray(
            (len(places), inner), dtype, self._data, each.begin + places[0] * each.stride, (each.stride * places.step, dtype.itemsize)
        )
        return strided.reshape(len(places), *shape[1:])


class _Hdf5:
    """A NetCDF-4 file, by netCDF4."""

    def __init__(self, data: bytes) -> None:
        import netCDF4

        try:
            self._dataset = netCDF4.Dataset("memory.nc", memory=data)
        except (OSError, RuntimeError) as error:
            raise UnreadableFile(f"The NetCDF-4 file is truncated or damaged. {_DAMAGED}") from error
        self._own = (netCDF4.CompoundType, netCDF4.VLType)
        self._dataset.set_auto_maskandscale(False)
        self._dataset.set_auto_chartostring(False)
        self.dimensions = {name: len(each) for name, each in self._dataset.dimensions.items()}
        self.variables = {name: self._described(each) for name, each in self._dataset.variables.items()}
        for name, each in self.variables.items():
            if math.prod(each.shape) * each.dtype.itemsize > _MOST_COMPRESSED * len(data):
                raise UnreadableFile(f"The variable {name} {_shape(each)} is larger than a file of {len(data):,} bytes can hold. {_DAMAGED}")

    def _described(self, each: Any) -> Variable:
        is_own = each.dtype is not str and isinstance(each.datatype, self._own)
        dtype = np.dtype(object) if each.dtype is str else np.dtype("V8") if is_own else np.dtype(each.dtype)
        attributes = {key: each.getncattr(key) for key in KEPT if key in each.ncattrs()}
        return Variable(each.dimensions, tuple(int(length) for length in each.shape), dtype, attributes)

    def read(self, name: str, part: slice = slice(None)) -> NDArray[Any]:
        variable = self._dataset.variables[name]
        if self.variables[name].dtype.kind == "V":
            raise UnreadableFile(f"The variable {name} of the NetCDF-4 file is of a type of its own, where Argo has numbers and characters.")
        try:
            array = np.asarray(variable[part] if variable.ndim else variable[...])
        except (OSError, RuntimeError) as error:
            raise UnreadableFile(f"The variable {name} of the NetCDF-4 file cannot be read. {_DAMAGED}") from error
        if array.dtype.kind not in "OU":  # a text of any length comes as one or the other
            return array
        texts = np.char.encode(array.astype(np.str_), "utf-8")
        characters: NDArray[Any] = texts.reshape(*texts.shape, 1).view("S1") if texts.size else np.empty((*texts.shape, 0), "S1")
        return characters


def _shape(each: Variable) -> str:
    return "(" + ", ".join(f"{name} = {length:,}" for name, length in zip(each.dimensions, each.shape)) + ")"
