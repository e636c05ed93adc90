#!/usr/bin/env python3
"""Write the project's own test scenes for POV-Ray: small ones that use what adapters get wrong, and some to be refused.

`python3 tools/povray_scenes.py --out DIR [--scene NAME ...]` writes DIR/NAME/NAME.pov and what belongs to it. The
scenes are text, made from nothing, the same each time, and hold no work of others.
"""

import argparse
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

_HEAD = """#version 3.7;
global_settings {{ assumed_gamma 1.0 {more} }}
camera {{ location <0, 2, -6> look_at <0, 1, 0> right x * image_width / image_height {lens} }}
light_source {{ <10, 20, -20> rgb 1 {light} }}
"""
_BALLS = """#include "colors.inc"
#include "parts/balls.inc"
plane { y, 0 pigment { checker rgb 0.9 rgb <0.2, 0.3, 0.5> } finish { reflection 0.2 } }
object { Ball(<sin(clock * 2 * pi), 1, 0>, 1) }
sphere { <1.5, 0.6, -1>, 0.6 pigment { rgbt <1, 1, 1, 0.8> } interior { ior 1.5 } }
"""
_SKY = "sky_sphere { pigment { gradient y color_map { [0 rgb 1.4] [1 rgb <0.2, 0.4, 0.9>] } } }\n"
_PARTS = """// A comment with "quotes and /* no comment
/* A comment /* in a comment, #include "nowhere.inc" */ still one */
#declare Skin = "skin.png";
#macro Ball(Place, Size)
  sphere { 0, 1
    pigment { image_map { png Skin map_type 1 interpolate 2 } }
    finish { phong 0.8 reflection 0.1 }
    scale Size translate Place
  }
#end
"""
_SMALL = "Width=333\nHeight=217\nAntialias=on\nAntialias_Threshold=0.1\n"
_TINY = "Width=64 ; comment\nHeight=48\n"


def _skin() -> bytes:
    """Make a small picture of stripes, as a PNG."""
    rows = [bytes([0, *(value for x in range(32) for value in (x * 8, 255 - y * 8, 64 * (x // 8)))]) for y in range(32)]
    parts = [b"\x89PNG\r\n\x1a\n"]
    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return b"".join(parts)


def _scene(ini: str, *, more: str = "", lens: str = "", light: str = "", sky: str = _SKY, body: str = "") -> list[str]:
    return [ini, _HEAD.format(more=more, lens=lens, light=light) + _BALLS + sky + body]


_SCENES = {
    # Each setting and each feature that a bucket could get wrong.
    "still": _scene(
        _SMALL + "Sampling_Method=1\nJitter=on\n", lens="aperture 0.1 blur_samples 7 focal_point <0, 1, 0>"
    ),
    "deep": _scene(_SMALL + "Sampling_Method=2\nOutput_File_Type=N\nBits_Per_Color=16\nOutput_Alpha=on\n", sky=""),
    "dithered": _scene(_SMALL + "Dither=on\nDither_Method=B4\nFile_Gamma=1.8\n"),
    "halves": _scene(_SMALL + "+FE +UA\n", sky=""),
    "grey": _scene(_SMALL + "+FNG\n"),
    "moving": _scene(_TINY + "Initial_Frame=1\nFinal_Frame=12\nCyclic_Animation=on\nOutput_File_Name=out/shot_\n"),
    "slow": _scene("Width=3200\nHeight=2400\n"),
    # What cannot be cut.
    "radiosity": _scene(_TINY, more="radiosity { count 20 }"),
    "photons": _scene(_TINY, more="photons { count 1000 }"),
    "media": _scene(_TINY, body="fog { fog_type 1 distance 90 } media { emission 0.01 }\n"),
    "jitter": _scene(_TINY, light="area_light x, z, 3, 3 jitter"),
    "grains": _scene(_TINY, body="sphere { 0, 1 finish { crand 0.2 } }\n"),
    "diffused": _scene(_TINY + "Dither=on\n"),
    "jpeg": _scene(_TINY + "Output_File_Type=J\n"),
    # What is refused, or has a mistake in it.
    "prying": _scene(_TINY, body='#fopen Secret "/etc/passwd" read\n'),
    "climbing": _scene(_TINY, body='#include "../../secret.inc"\n'),
    "computing": _scene(_TINY, body='#include concat("/etc/", "passwd")\n'),
    "writing": _scene(_TINY, body='#fopen Out "out.txt" write\n#write (Out, "x")\n'),
    "lacking": _scene(_TINY, body='#include "lost.inc"\nbox { 0, 1 pigment { image_map { png "lost.png" } } }\n'),
    "mistaken": _scene(_TINY, body="sphere { 0, 1 pigment { blu } }\n"),
    "shelling": _scene(_TINY + "Post_Frame_Command=rm -rf /\n"),
    "greedy": _scene(_TINY, body="#declare Much = array[40000000];\n#declare More = array[40000000];\n"),
}

NAMES = tuple(_SCENES)


def make(out: Path, names: Iterable[str] = NAMES) -> None:
    """Write scenes, each into a directory of its own name."""
    for name in names:
        ini, text = _SCENES[name]
        directory = out / name
        (directory / "parts").mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.pov").write_text(text, encoding="ascii")
        (directory / f"{name}.ini").write_text(f"; {name}\nInput_File_Name={name}.pov\n{ini}", encoding="ascii")
        (directory / "parts" / "balls.inc").write_text(_PARTS, encoding="ascii")
        (directory / "skin.png").write_bytes(_skin())


def main() -> None:
    """Write the scenes that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scene", action="append", choices=NAMES)
    chosen = parser.parse_args()
    make(chosen.out, chosen.scene or NAMES)


if __name__ == "__main__":
    main()
