"""Find and change the paths that a .blend file stores, without Blender.

Theory: a .blend file is a header and a row of blocks. The last block but one, `DNA1`, describes the C structs of all
others, so that any version's fields can be found by name. Blender opens libraries, fonts, sounds and caches while it
loads a file, before a script could stop it; that is why paths are settled here, in a private copy, and not in memory.

Invariants: only fixed-size fields are changed, in place, so the file's layout stays as it is. Lengths come from hostile
bytes: every one is checked against what is there. So does the struct description: a field that holds a path counts
whatever its length, and one that Blender would read in another way than we do makes the file unreadable. This module
runs in both halves and must not know `bpy`.
"""

import io
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from .header import Header, NotABlend, open_blend, parse, read_errors, read_header_bytes

_Found = TypeVar("_Found")

PATH_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Library": ("name", "filepath"),
    "Image": ("name", "filepath"),
    "ImageView": ("filepath",),
    "VFont": ("name", "filepath"),
    "bSound": ("name", "filepath"),
    "MovieClip": ("name", "filepath", "proxy.dir"),
    "CacheFile": ("filepath",),
    "CacheFileLayer": ("filepath",),
    "Volume": ("filepath",),
    "MeshCacheModifierData": ("filepath",),
    "OceanModifierData": ("cachepath",),
    "FluidDomainSettings": ("cache_directory",),
    "PointCache": ("path",),
    "CustomDataExternal": ("filename",),
    "NodeShaderScript": ("filepath",),
    "NodeShaderTexIES": ("filepath",),
}
"""The structs whose paths Blender may open while it loads or renders, with the names that their fields have or had."""

DEFUSED: Mapping[str, tuple[str, ...]] = {
    "NodesModifierData": ("*bake_directory", "*simulation_bake_directory"),
    "NodesModifierBake": ("*directory",),
    "bNode": ("idname",),
}
"""Fields that are always overwritten: pointers to the directory of a bake, and the kind of an import node.

Blender evaluates the scene while it loads it, and such a node or modifier would read its files then. Their paths are of
any length or are computed, so they cannot be settled; whoever has such a bake or node is refused in any case.
"""

_IMPORT_NODES, _NO_NODE = b"GeometryNodeImport", "MeshnodeNoSuchNode"

BUILTIN = "<builtin>"
"""The path of Blender's own font, which is in no file."""

_DNA_MAX_BYTES = 16 * 1024 * 1024
"""Struct descriptions take 0.1 MB; this bounds what a hostile file may make us hold."""

_BLOCK_MAX_BYTES = 1024 * 1024
"""No struct that holds a path is longer."""

_COPY_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Block:
    """Place one block in the uncompressed file: code, struct number, offset and size of its body in bytes."""

    code: bytes
    struct: int
    offset: int
    size: int


@dataclass(frozen=True)
class Field:
    """Place one field inside a struct, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class StoredPath:
    """Tell one path of a file: the struct that holds it, the datablock's name, the path, and where it lies."""

    kind: str
    user: str
    stored: str
    offset: int
    size: int


@dataclass(frozen=True)
class Scan:
    """Tell what was found in a file: its header, its stored paths, and each scene's render engine by scene name.

    `defused` are the changes, as `rewrite` takes them, without which Blender would read files while it loads this one.
    """

    header: Header
    paths: tuple[StoredPath, ...]
    engines: Mapping[str, str]
    defused: Mapping[int, tuple[int, str]]


def scan(path: str) -> Scan:
    """Read a file's stored paths. Raises NotABlend for damaged bytes, OSError when it cannot be opened."""
    with open_blend(path) as stream:
        header, blocks, dna = _guarded(stream, _outline)
    fields = {number: found for kind in PATH_FIELDS for number, found in dna.placed(kind, dna.path_fields)}
    defused = {number: found for kind in DEFUSED for number, found in dna.placed(kind, dna.defused_fields)}
    scene = dna.number("Scene")
    wanted = [
        block
        for block in blocks
        if block.struct in fields or block.struct in defused or (block.struct == scene and block.code[:2] == b"SC")
    ]
    with open_blend(path) as stream:
        bodies = _guarded(stream, lambda opened: list(_bodies(opened, wanted)))
    paths: list[StoredPath] = []
    engines = {}
    changes: dict[int, tuple[int, str]] = {}
    for block, body in zip(wanted, bodies, strict=True):
        if block.struct == scene:
            engines[dna.id_name("Scene", body)] = dna.text(body, dna.nested("Scene", "r", "engine"))
        for field in fields.get(block.struct, ()):
            paths.extend(_stored_paths(block, body, dna, field))
        for field in defused.get(block.struct, ()):
            changes.update(_defused(block, body, dna, field))
    return Scan(header=header, paths=tuple(paths), engines=engines, defused=changes)


def rewrite(path: str, changes: Mapping[int, tuple[int, str]]) -> None:
    """Replace stored paths, given as offset to (field size, new path), in the file itself; it ends uncompressed.

    The new file is written beside the old and renamed over it. Raises NotABlend, OSError.
    """
    temporary = f"{path}.settling"
    with open_blend(path) as stream, open(temporary, "wb") as out:

        def copy(opened: BinaryIO) -> None:
            place = 0
            for offset, (size, text) in sorted(changes.items()):
                _copy(opened, out, offset - place)
                data = os.fsencode(text)
                if len(data) >= size:
                    raise NotABlend(f"the path {text!r} does not fit into its field of {size} bytes")
                _exactly(opened, size)
                out.write(data.ljust(size, b"\0"))
                place = offset + size
            while data := opened.read(_COPY_BYTES):
                out.write(data)

        _guarded(stream, copy)
    os.replace(temporary, path)


class _Dna:
    """Answer where the fields of a file's structs are."""

    def __init__(self, body: bytes, header: Header) -> None:
        self._pointer = header.pointer_size
        reader = _DnaReader(body, ">" if header.big_endian else "<")
        reader.expect(b"SDNA")
        self._names = reader.strings(b"NAME")
        types = reader.strings(b"TYPE")
        self._sizes = reader.lengths(b"TLEN", len(types))
        self._types = types
        self._structs = reader.structs(b"STRC", len(types), len(self._names))
        self._numbers = {types[kind]: index for index, (kind, _) in enumerate(self._structs)}
        if len(self._numbers) != len(self._structs):
            raise NotABlend("its struct description describes one struct twice")

    def number(self, struct_name: str) -> int | None:
        return self._numbers.get(struct_name)

    def size(self, struct_name: str) -> int:
        return self._sizes[self._structs[self._numbers[struct_name]][0]]

    def fields(self, struct_name: str) -> Iterator[tuple[str, str, Field]]:
        """Yield (bare name, type, place) of each field in order."""
        offset = 0
        for kind, name in self._structs[self._numbers[struct_name]][1]:
            full = self._names[name]
            size = self._pointer if full.startswith(("*", "(*")) else self._sizes[kind]
            for dimension in full.split("[")[1:]:
                count = dimension.rstrip("]")
                size *= int(count[:9]) if count.isdecimal() else 1
            yield full.split("[")[0], self._types[kind], Field(offset, size)
            offset += size

    def placed(self, struct_name: str, find: Callable[[str], list[Field]]) -> Iterator[tuple[int, list[Field]]]:
        """Yield the number of a struct with the fields that were looked for, if the file has both."""
        number = self._numbers.get(struct_name)
        if number is not None and (found := find(struct_name)):
            yield number, found

    def path_fields(self, struct_name: str) -> list[Field]:
        """Place all fields of a struct that hold paths. Raises NotABlend for one that is no text."""
        names = PATH_FIELDS[struct_name]
        found: list[tuple[int, Field]] = []
        for name, kind, field in self.fields(struct_name):
            if name in names:
                if kind != "char":
                    raise NotABlend(f"its struct description has a path of another kind: {struct_name}.{name}")
                found.append((names.index(name), field))
        for outer, _, inner in (name.partition(".") for name in names):
            if inner and (nested := self.nested(struct_name, outer, inner)) is not None:
                found.append((len(names), nested))
        fields = [field for _, field in sorted(found, key=lambda each: each[0])]
        # A library's second path is where it was when the file was saved: Blender computes it anew.
        return fields[:1] if struct_name == "Library" else fields

    def defused_fields(self, struct_name: str) -> list[Field]:
        """Place the fields of a struct that are overwritten whatever they hold."""
        return [field for name, _, field in self.fields(struct_name) if name in DEFUSED[struct_name]]

    def nested(self, struct_name: str, outer: str, inner: str) -> Field | None:
        """Place `outer.inner` within a struct, if there is such a field."""
        for name, kind, field in self.fields(struct_name):
            if name == outer and kind in self._numbers:
                for inner_name, _, inner_field in self.fields(kind):
                    if inner_name == inner:
                        return Field(field.offset + inner_field.offset, inner_field.size)
        return None

    def text(self, body: bytes, field: Field | None) -> str:
        if field is None:
            return ""
        return os.fsdecode(body[field.offset : field.offset + field.size].split(b"\0")[0])

    def id_name(self, struct_name: str, body: bytes) -> str:
        """Give the name of a body's datablock, without the two letters of its kind; empty if it is none."""
        first = next(self.fields(struct_name), None)
        if first is None or first[1] != "ID":
            return ""
        return self.text(body, self.nested(struct_name, first[0], "name"))[2:]

    def struct_name(self, number: int) -> str:
        return self._types[self._structs[number][0]]


class _DnaReader:
    """Take a struct description apart, checking each length."""

    def __init__(self, body: bytes, order: str) -> None:
        self._body = body
        self._order = order
        self._place = 0

    def expect(self, tag: bytes) -> None:
        self._place = (self._place + 3) & ~3
        if self._body[self._place : self._place + 4] != tag:
            raise NotABlend("its struct description is damaged")
        self._place += 4

    def _number(self, kind: str) -> int:
        size = struct.calcsize(kind)
        data = self._body[self._place : self._place + size]
        if len(data) != size:
            raise NotABlend("its struct description is cut off")
        self._place += size
        (value,) = struct.unpack(self._order + kind, data)
        return int(value)

    def strings(self, tag: bytes) -> list[str]:
        self.expect(tag)
        found = []
        for _ in range(self._number("I")):
            end = self._body.find(b"\0", self._place)
            if end < 0:
                raise NotABlend("its struct description is cut off")
            found.append(self._body[self._place : end].decode("latin-1"))
            self._place = end + 1
        return found

    def lengths(self, tag: bytes, count: int) -> list[int]:
        self.expect(tag)
        return [self._number("H") for _ in range(count)]

    def structs(self, tag: bytes, types: int, names: int) -> list[tuple[int, list[tuple[int, int]]]]:
        self.expect(tag)
        found = []
        for _ in range(self._number("I")):
            kind, count = self._number("H"), self._number("H")
            fields = [(self._number("H"), self._number("H")) for _ in range(count)]
            if kind >= types or any(field >= types or name >= names for field, name in fields):
                raise NotABlend("its struct description names what is not there")
            found.append((kind, fields))
        return found


def _guarded(stream: BinaryIO, work: Callable[[BinaryIO], _Found]) -> _Found:
    """Do some reading, and turn what damaged compression raises into NotABlend."""
    try:
        return work(stream)
    except read_errors() as error:
        raise NotABlend(f"its bytes are damaged or cannot be read: {error}") from error


def _outline(stream: BinaryIO) -> tuple[Header, list[Block], _Dna]:
    """Read all block heads and the struct description."""
    header = parse(read_header_bytes(stream))
    head = _block_head(header)
    place = header.size
    blocks: list[Block] = []
    dna = None
    while len(data := stream.read(head.size)) == head.size:
        code, number, size = _head_values(header, head.unpack(data))
        place += head.size
        if code == b"ENDB":
            break
        if size < 0:
            raise NotABlend("a block has a negative length")
        if code == b"DNA1":
            if size > _DNA_MAX_BYTES:
                raise NotABlend("its struct description is too long")
            dna = _Dna(_exactly(stream, size), header)
        else:
            blocks.append(Block(code=code, struct=number, offset=place, size=size))
            _skip(stream, size)
        place += size
    if dna is None:
        raise NotABlend("it ends before its struct description: it is truncated")
    return header, blocks, dna


def _block_head(header: Header) -> struct.Struct:
    if header.large_blocks:
        return struct.Struct("<4siQqq")
    return struct.Struct((">" if header.big_endian else "<") + ("4siQii" if header.pointer_size == 8 else "4siIii"))


def _head_values(header: Header, values: tuple[bytes, int, int, int, int]) -> tuple[bytes, int, int]:
    """Give (code, struct number, body size): newer heads have the struct number first."""
    code, first, _, fourth, _ = values
    return (code, first, fourth) if header.large_blocks else (code, fourth, first)


def _bodies(stream: BinaryIO, blocks: list[Block]) -> Iterator[bytes]:
    place = 0
    for block in blocks:
        if block.size > _BLOCK_MAX_BYTES:
            raise NotABlend("a block that holds a path is too long")
        _skip(stream, block.offset - place)
        yield _exactly(stream, block.size)
        place = block.offset + block.size


def _stored_paths(block: Block, body: bytes, dna: _Dna, field: Field) -> Iterator[StoredPath]:
    """Yield what one field of a block's structs holds, if it is the path of a file."""
    kind = dna.struct_name(block.struct)
    for start, part in _parts(body, dna, kind, field):
        text = dna.text(part, field)
        if text and text != BUILTIN:
            yield StoredPath(
                kind=kind,
                user=dna.id_name(kind, part),
                stored=text,
                offset=block.offset + start + field.offset,
                size=field.size,
            )


def _defused(block: Block, body: bytes, dna: _Dna, field: Field) -> Iterator[tuple[int, tuple[int, str]]]:
    """Yield the change of each struct of a block that would read files while Blender loads it."""
    kind = dna.struct_name(block.struct)
    for start, part in _parts(body, dna, kind, field):
        held = part[field.offset : field.offset + field.size]
        place = block.offset + start + field.offset
        if kind == "bNode" and held.startswith(_IMPORT_NODES):
            yield place, (field.size, _NO_NODE)
        elif kind != "bNode" and any(held):
            yield place, (field.size, "")


def _parts(body: bytes, dna: _Dna, kind: str, field: Field) -> Iterator[tuple[int, bytes]]:
    """Yield the structs of a block, which may hold several in a row, each with its place in the body."""
    step = dna.size(kind)
    if step < max(1, field.offset + field.size):
        raise NotABlend("its struct description contradicts itself")
    for start in range(0, len(body) - step + 1, step):
        yield start, body[start : start + step]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise NotABlend("it ends in the middle of a block: it is truncated")
    return data


def _skip(stream: BinaryIO, size: int) -> None:
    """Pass over some bytes, by seeking where the file is not compressed."""
    if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO):
        stream.seek(size, os.SEEK_CUR)
        return
    _copy(stream, None, size)


def _copy(stream: BinaryIO, out: BinaryIO | None, size: int) -> None:
    while size > 0:
        data = _exactly(stream, min(size, _COPY_BYTES))
        if out is not None:
            out.write(data)
        size -= len(data)
