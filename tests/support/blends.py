"""Write small .blend files by hand, so that what reads them is tested without Blender and against any layout."""

import struct
from collections.abc import Sequence

PATH_BYTES = 1024
ID_BYTES = 66


def blend(
    stored: Sequence[tuple[str, str, bytes]],
    *,
    header: bytes = b"BLENDER-v402",
    engine: bytes = b"CYCLES",
    large: bool = False,
) -> bytes:
    """Make a file with (struct, datablock name, path) entries and one scene that renders with an engine."""
    structs = ["Library", "Image", "VFont"]
    blocks = [
        _block(
            kind[:2].upper().encode(), structs.index(kind) + 1, _id(name, kind) + path.ljust(PATH_BYTES, b"\0"), large
        )
        for kind, name, path in stored
    ]
    scene = _id("Scene", "SC") + engine.ljust(32, b"\0")
    blocks.append(_block(b"SC", len(structs) + 2, scene, large))
    dna = _dna(structs)
    return header + b"".join(blocks) + _block(b"DNA1", 0, dna, large) + _block(b"ENDB", 0, b"", large)


def lone(kind: str, fields: Sequence[tuple[str, str]], body: bytes, *, size: int = 0, copies: int = 1) -> bytes:
    """Make a file with one block of one struct, described `copies` times by (type, name) fields of char or short."""
    types = ["char", "short", kind]
    sizes = [1, 2, size or len(body)]
    names = [name for _, name in fields]
    struct_fields = [(types.index(of), index) for index, (of, _) in enumerate(fields)]
    dna = _described(names, types, sizes, [(2, struct_fields)] * copies)
    return b"BLENDER-v402" + _block(b"DATA", 0, body, False) + _block(b"DNA1", 0, dna, False)


def _id(name: str, kind: str) -> bytes:
    return (kind[:2].upper() + name).encode().ljust(ID_BYTES, b"\0")


def _block(code: bytes, number: int, body: bytes, large: bool) -> bytes:
    if large:
        return struct.pack("<4siQqq", code, number, 7, len(body), 1) + body
    return struct.pack("<4siQii", code, len(body), 7, number, 1) + body


def _dna(structs: Sequence[str]) -> bytes:
    """Describe ID, the given structs (an ID and a path), RenderData (an engine) and Scene (an ID and RenderData)."""
    names = [f"name[{ID_BYTES}]", "id", f"name[{PATH_BYTES}]", "r", "engine[32]"]
    types = ["char", "ID", *structs, "RenderData", "Scene"]
    sizes = [1, ID_BYTES, *[ID_BYTES + PATH_BYTES] * len(structs), 32, ID_BYTES + 32]
    described = [(1, [(0, 0)])]
    described += [(index + 2, [(1, 1), (0, 2)]) for index in range(len(structs))]
    described += [(len(structs) + 2, [(0, 4)]), (len(structs) + 3, [(1, 1), (len(structs) + 2, 3)])]
    return _described(names, types, sizes, described)


def _described(
    names: Sequence[str],
    types: Sequence[str],
    sizes: Sequence[int],
    described: Sequence[tuple[int, list[tuple[int, int]]]],
) -> bytes:
    data = b"SDNANAME" + struct.pack("<I", len(names)) + _strings(names)
    data = _padded(data) + b"TYPE" + struct.pack("<I", len(types)) + _strings(types)
    data = _padded(data) + b"TLEN" + struct.pack(f"<{len(sizes)}H", *sizes)
    data = _padded(data) + b"STRC" + struct.pack("<I", len(described))
    for kind, fields in described:
        data += struct.pack("<HH", kind, len(fields)) + b"".join(struct.pack("<HH", *field) for field in fields)
    return data


def _strings(texts: Sequence[str]) -> bytes:
    return b"".join(text.encode() + b"\0" for text in texts)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
