"""Read a scene and its .ini into the port's `Inspection`, without running anything of it.

Theory: artists keep how a scene is rendered in an .ini, which names the scene, or beside the scene under its name.
Where there is none, POV-Ray's own defaults hold. A scene is rendered in the directory of its .ini, from where its names
are looked up.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mesh.ports.renderer import (
    Cutting,
    Engine,
    FrameNames,
    Inspection,
    Output,
    Refusal,
    SavedBy,
    SceneFile,
    SceneUnreadable,
)
from mesh.render.povray import files, language, options, program, recipe
from mesh.render.povray.files import Closure, Places
from mesh.wire.grids import Region

INI_MAX_BYTES = 1 << 20
_INI_DEPTH_MAX = 8
_FIRST_BYTES = 256 << 10
_FALLBACK_NAME = "scene.pov"
_INI_SUFFIX = ".ini"

_FORMATS = {
    "B": ("BMP", ".bmp"),
    "C": ("TARGA", ".tga"),
    "E": ("OPEN_EXR", ".exr"),
    "H": ("HDR", ".hdr"),
    "J": ("JPEG", ".jpg"),
    "N": ("PNG", ".png"),
    "P": ("PPM", ".ppm"),
    "T": ("TARGA", ".tga"),
}
"""What each letter of POV-Ray's is called here, and how its files end."""

_EXACT_FORMATS = ("PNG", "OPEN_EXR")
_DIFFUSION = ("D1", "D2", "FS")
"""Dithers that carry what they round off from pixel to pixel, through the whole picture."""

_OBSTACLES = {
    "crand": "grains are drawn by chance, and differ from one process to the next",
    "jitter": "jittered samples are drawn by chance, and differ from one process to the next",
    "media": "media are sampled by chance, and differ from one process to the next",
    "photons": "photons are shot anew by each process, and differ from one to the next",
    "radiosity": "radiosity gathers light over the whole picture",
    "subsurface": "light below surfaces is sampled by chance",
}

_OBSTACLE_REMEDY = "take it out, or have the frame rendered whole (without --still)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Be a scene as its artist has it: its main file, relative to the directory that it is rendered in, and options."""

    directory: Path
    main: str
    said: options.Options
    ini: Path | None


def reads(scene: Path) -> bool:
    """Say whether a file looks like a scene or an .ini of POV-Ray, by what is in it. Raises SceneUnreadable."""
    first = _first_bytes(scene, _FIRST_BYTES)
    if b"\0" in first:
        return False
    return language.looks_like_a_scene(first) or _is_ini(scene, first)


def saved_by(scene: Path) -> SavedBy:
    """Tell which version's language a scene is written in; empty: it does not say. Raises SceneUnreadable."""
    source = locate(scene)
    return SavedBy(
        engine=recipe.RENDERER,
        version=language.version(_first_bytes(source.directory / source.main, _FIRST_BYTES)),
    )


def locate(scene: Path) -> Source:
    """Find a scene's main file and options, given either of them. Raises SceneUnreadable."""
    said = options.Options()
    first = _first_bytes(scene, _FIRST_BYTES)
    if _is_ini(scene, first):
        _read_ini(scene, said, 0)
        named = said.path("Input_File_Name")
        if named is None:
            raise SceneUnreadable(f"{scene.name}: it names no scene (Input_File_Name=...)")
        main = named if "." in named else f"{named}.pov"
        ini: Path | None = scene
    else:
        main, ini = scene.name, _beside(scene)
        if ini is not None:
            _read_ini(ini, said, 0)
            if os.path.basename(said.path("Input_File_Name") or main) not in (main, scene.stem):
                # It is another scene's, whatever it is called.
                said, ini = options.Options(), None
    if problem := files.name_problem(main):
        raise SceneUnreadable(f"{scene.name}: it names the scene {main!a}, which {problem}")
    if not (scene.parent / main).is_file():
        raise SceneUnreadable(f"{scene.name}: the scene {main} is not there")
    return Source(directory=scene.parent, main=main, said=said, ini=ini)


def inspect(scene: Path, frames: Sequence[range] | None, engine: Engine) -> Inspection:
    """Tell all of a scene; reads the disk. Raises SceneUnreadable."""
    source = locate(scene)
    settings = options.complete(source.said.settings)
    places = Places(
        directory=source.directory,
        libraries=libraries(source),
        includes=program.includes(engine.program),
    )
    headers = tuple(source.said.paths.get("Include_Header", ()))
    found = files.closure(source.main, headers, places)
    span = Span.of(settings)
    directory, names = _output_names(source, settings)
    written = recipe.Recipe(
        main=main_name(source.main),
        prefix=names.prefix,
        libraries=len(places.libraries),
        headers=headers if all(map(files.is_plain, headers)) else (),
        settings=settings,
        declares=source.said.declares,
        absent=tuple(found.missing),
    )
    output = output_of(settings)
    main = source.directory / source.main
    return Inspection(
        scene=main,
        scene_name=Path(source.main).stem,
        saved_by=found.version,
        saved_at_ms=main.stat().st_mtime_ns // 1_000_000,
        engine=engine,
        render_engine=program.TITLE,
        first_frame=span.first,
        last_frame=span.last,
        frame_step=int(settings.get("Frame_Step", 1)),
        current_frame=span.first,
        output=output,
        output_directory=directory,
        frame_names=names,
        cutting=cutting_of(settings, output, found),
        color_management=(("file gamma", settings.get("File_Gamma", "SRGB")),),
        external=tuple(found.external.values()),
        files=tuple(
            SceneFile(name=main_name(name) if name == source.main else name, path=path)
            for name, path in sorted(found.files.items())
        ),
        recipe=recipe.write(written),
        refusals=(
            *source.said.refusals,
            *_header_refusals(headers),
            *found.outside,
            *found.refusals,
            *span.refusals(frames),
        ),
        warnings=_warnings(source, settings),
    )


def main_name(main: str) -> str:
    """Give the main file's name in the tree: its own, unless it would have to be quoted on a command line."""
    return main if files.is_plain(main) else _FALLBACK_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The frames of a scene: of the animation as a whole, and of the part that is rendered."""

    initial: int
    final: int
    first: int
    last: int
    cyclic: bool

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Span":
        """Read them from options; a still is the frame 1."""
        initial, final = int(settings.get("Initial_Frame", 1)), int(settings.get("Final_Frame", 1))
        return cls(
            initial=initial,
            final=final,
            first=int(settings.get("Subset_Start_Frame", initial)),
            last=int(settings.get("Subset_End_Frame", max(initial, final))),
            cyclic=settings.get("Cyclic_Animation") == "on",
        )

    @property
    def animated(self) -> bool:
        """Say whether there is more than one frame."""
        return self.final > self.initial

    @property
    def digits(self) -> int:
        """Give how many digits POV-Ray gives a frame's number: those of the last, which a cycle has one more of."""
        return len(str(self.final + self.cyclic)) if self.animated else 1

    def refusals(self, frames: Sequence[range] | None) -> list[Refusal]:
        """Name what is wrong with the frames, the scene's own and those that are wanted."""
        inside = range(self.initial, max(self.initial, self.final) + 1)
        wanted = [range(self.first, self.last + 1)] if frames is None else frames
        outside = [each for run in wanted for each in (run[0], run[-1]) if run and each not in inside]
        if self.final < self.initial:
            return [_refused_frames(f"Final_Frame={self.final} comes before Initial_Frame={self.initial}")]
        if not outside and len(wanted) and self.first <= self.last:
            return []
        known = f"{self.initial}-{self.final}" if self.animated else f"{self.initial} alone, since it is a still"
        return [
            _refused_frames(f"frame {outside[0] if outside else self.first} is none of the scene's: it has {known}")
        ]


def output_of(settings: Mapping[str, str]) -> Output:
    """Tell what POV-Ray writes with these options."""
    form, _ = _FORMATS[settings["Output_File_Type"]]
    grey, alpha = settings.get("Grayscale_Output") == "on", settings.get("Output_Alpha") == "on"
    deep = int(settings["Bits_Per_Color"]) > 8 or grey
    depth = {"OPEN_EXR": 16, "HDR": 32, "PNG": 16 if deep else 8, "PPM": 16 if deep else 8}.get(form, 8)
    mode = "BW" if grey and form in ("PNG", "TARGA") else "RGB"
    if alpha and form in ("PNG", "OPEN_EXR", "TARGA"):
        mode = {"BW": "BWA", "RGB": "RGBA"}[mode]
    return Output(
        format=form, width=int(settings["Width"]), height=int(settings["Height"]), color_mode=mode, depth=depth
    )


def frame_names(prefix: str, settings: Mapping[str, str]) -> FrameNames:
    """Tell how frames are called that begin with a prefix."""
    _, suffix = _FORMATS[settings["Output_File_Type"]]
    return FrameNames(prefix=prefix, digits=Span.of(settings).digits, suffix=suffix)


def cutting_of(settings: Mapping[str, str], output: Output, found: Closure) -> Cutting:
    """Tell why a frame cannot be rendered in buckets, if so."""
    obstacles = [_obstacle(mark, mark, f"{place}: {_OBSTACLES[mark]}") for mark, place in sorted(found.marks.items())]
    if output.format not in _EXACT_FORMATS:
        obstacles.append(_obstacle("file-format", output.format, f"{output.format} files lose what buckets hold"))
    if settings.get("Dither") == "on" and settings.get("Dither_Method", "FS") in _DIFFUSION:
        obstacles.append(_obstacle("dither", "Dither", "its dither carries errors through the whole picture"))
    whole = Region(left=0, top=0, right=output.width, bottom=output.height)
    text = "POV-Ray has no samples that can be rendered apart"
    alone = Refusal(code="samples-engine", subject="POV-Ray", text=text, remedy="render it in buckets: --still alone")
    return Cutting(
        width=output.width,
        height=output.height,
        region=whole,
        obstacles=tuple(obstacles),
        sample_obstacles=(alone,),
    )


def _obstacle(code: str, subject: str, text: str) -> Refusal:
    return Refusal(code=code, subject=subject, text=text, remedy=_OBSTACLE_REMEDY)


def _refused_frames(text: str) -> Refusal:
    return Refusal(
        code="frame-outside",
        subject="frames",
        text=text,
        remedy="choose others, or set Initial_Frame and Final_Frame in the scene's .ini",
    )


def _header_refusals(headers: Sequence[str]) -> list[Refusal]:
    return [
        Refusal(
            code="bad-option",
            subject="Include_Header",
            text=f"the name {header!a} of an Include_Header is not made of letters, digits, points and dashes alone",
            remedy="rename the file, or include it in the scene",
        )
        for header in headers
        if not files.is_plain(header)
    ]


def _output_names(source: Source, settings: Mapping[str, str]) -> tuple[Path, FrameNames]:
    """Give where frames go and how they are called: as POV-Ray does, but that a still has a number as well."""
    said = source.said.path("Output_File_Name") or ""
    names = frame_names("", settings)
    place, _, name = said.rpartition("/")
    prefix = name.removesuffix(names.suffix) or Path(source.main).stem
    directory = source.directory / (place or ("/" if said.startswith("/") else "."))
    return Path(os.path.abspath(directory)), replace(names, prefix=prefix)


def _warnings(source: Source, settings: Mapping[str, str]) -> tuple[str, ...]:
    if source.ini is not None or {"Width", "Height"} & source.said.settings.keys():
        return ()
    own = Path(source.main).with_suffix(_INI_SUFFIX).name
    return (f"no {own} says how large the picture is: it will be {settings['Width']}x{settings['Height']}",)


def libraries(source: Source) -> tuple[Path, ...]:
    """Give the directories that a scene's options name as libraries, as far as they exist."""
    named = [source.directory / path for path in source.said.paths.get("Library_Path", ())]
    return tuple(dict.fromkeys(path for path in named if path.is_dir()))[: recipe.LIBRARIES_MAX]


def _beside(scene: Path) -> Path | None:
    """Find the .ini that belongs to a scene by its name."""
    ini = scene.with_suffix(_INI_SUFFIX)
    return ini if ini != scene and ini.is_file() else None


def _is_ini(scene: Path, first: bytes) -> bool:
    return scene.suffix.casefold() == _INI_SUFFIX or (
        re.search(rb"^\s*Input_File_Name\s*=", first, re.IGNORECASE | re.MULTILINE) is not None
        and not language.looks_like_a_scene(first)
    )


def _read_ini(ini: Path, said: options.Options, depth: int) -> None:
    data = _first_bytes(ini, INI_MAX_BYTES + 1)
    if len(data) > INI_MAX_BYTES:
        raise SceneUnreadable(f"{ini.name} is longer than {INI_MAX_BYTES >> 10} KiB")
    if depth > _INI_DEPTH_MAX:
        raise SceneUnreadable(f"{ini.name}: .ini files that include others go deeper than {_INI_DEPTH_MAX}")
    before = len(said.paths.get("Include_Ini", ()))
    options.read(data.decode("utf-8", "replace"), ini.name, said)
    for included in said.paths.get("Include_Ini", [])[before:]:
        _read_ini(ini.parent / included, said, depth + 1)


def _first_bytes(path: Path, most: int) -> bytes:
    try:
        if not path.is_file():
            raise SceneUnreadable(f"{path}: no such file")
        with open(path, "rb") as stream:
            return stream.read(most)
    except (OSError, ValueError) as error:
        raise SceneUnreadable(f"{path}: {getattr(error, 'strerror', None) or error}") from error
