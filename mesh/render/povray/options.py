"""Read what an .ini file says of how a scene is rendered, and hold each option against what is known of it.

Theory: POV-Ray takes its options from .ini files, as `Name=Value` or as the switches of its command line. The mesh
hands it nobody's file: each option is read here, and what comes out are plain numbers, flags and words under one
spelling, from which a peer builds its own command line. The same check reads them from a recipe, which is hostile.

Invariants: an option that is not known is refused by name, never passed on and never dropped in silence. What only
concerns the artist's own desk (windows, pauses, logs, threads) is dropped. Must not know the disk.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mesh.ports.renderer import Refusal
from mesh.wire.grids import MAX_SIDE
from mesh.wire.tasks import FRAME_LIMIT

DEFAULT_WIDTH, DEFAULT_HEIGHT = 800, 600
"""What the program's own povray.ini says."""

_INTEGERS = {
    "Antialias_Depth": (1, 9),
    "BSP_MaxDepth": (0, 256),
    "Bits_Per_Color": (5, 16),
    "Bounding_Method": (1, 2),
    "Bounding_Threshold": (0, 1_000_000_000),
    "Compression": (0, 100),
    "Final_Frame": (0, FRAME_LIMIT),
    "Frame_Step": (1, FRAME_LIMIT),
    "Height": (1, MAX_SIDE),
    "Initial_Frame": (0, FRAME_LIMIT),
    "Quality": (0, 11),
    "Sampling_Method": (1, 2),
    "Subset_End_Frame": (1, FRAME_LIMIT),
    "Subset_Start_Frame": (1, FRAME_LIMIT),
    "Width": (1, MAX_SIDE),
}
_REALS = (
    *("Antialias_Gamma", "Antialias_Threshold", "BSP_BaseAccessCost", "BSP_ChildAccessCost", "BSP_ISectCost"),
    *("BSP_MissChance", "Clock", "Final_Clock", "Initial_Clock", "Jitter_Amount", "Version"),
)
_FLAGS = (
    *("Antialias", "Bounding", "Clockless_Animation", "Cyclic_Animation", "Dither", "Grayscale_Output"),
    *("High_Reproducibility", "Jitter", "Output_Alpha", "Radiosity_Vain_Pretrace", "Remove_Bounds", "Split_Unions"),
)
_WORDS = {
    "Dither_Method": re.compile(r"B[234]|D[12]|FS"),
    "File_Gamma": re.compile(r"SRGB|[0-9.]{1,12}"),
    "Output_File_Type": re.compile(r"[BCEHJNPST]"),
}
_PATHS = ("Include_Header", "Include_Ini", "Input_File_Name", "Library_Path", "Output_File_Name")

_DESK = (
    *("All_Console", "All_File", "Append_File", "Buffer_Output", "Buffer_Size", "Continue_Trace", "Create_Histogram"),
    *("Create_Ini", "Debug_Console", "Debug_File", "Display", "Display_Gamma", "Draw_Vistas", "Fatal_Console"),
    *("Fatal_File", "Histogram_Grid_Size", "Histogram_Name", "Histogram_Type", "Light_Buffer"),
    *("Max_Image_Buffer_Memory", "Output_To_File", "Palette", "Pause_When_Done", "Preview_End_Size"),
    *("Preview_Start_Size", "Render_Block_Size", "Render_Block_Step", "Render_Console", "Render_File"),
    *("Render_Pattern", "Statistic_Console", "Statistic_File", "Test_Abort", "Test_Abort_Count", "Verbose"),
    *("Video_Mode", "Vista_Buffer", "Warning_Console", "Warning_File", "Warning_Level", "Work_Threads"),
)
"""What only concerns the artist's own desk, or no picture at all."""

_REFUSED = {
    "fatal_error_command": "shell-out",
    "post_frame_command": "shell-out",
    "post_scene_command": "shell-out",
    "pre_frame_command": "shell-out",
    "pre_scene_command": "shell-out",
    "user_abort_command": "shell-out",
    "end_column": "partial-render",
    "end_row": "partial-render",
    "start_column": "partial-render",
    "start_row": "partial-render",
    "field_render": "field-render",
    "odd_field": "field-render",
    "radiosity_file_name": "radiosity-file",
    "radiosity_from_file": "radiosity-file",
    "radiosity_to_file": "radiosity-file",
    "real_time_raytracing": "real-time",
}
_WHY = {
    "shell-out": ("it starts programs on the host that renders", "take the command out, and run it on the frames"),
    "partial-render": ("it renders a part of the picture only", "take it out, and crop the frames"),
    "field-render": ("its frames would be halves of others", "take it out"),
    "radiosity-file": ("it carries light from one frame to the next in a file", "take it out"),
    "real-time": ("it renders one picture over and over", "take it out"),
    "unknown-option": ("the mesh does not know what it means", "take it out, or correct it"),
    "bad-option": ("its value is none that is allowed", "correct it"),
}

_NAMES = {name.casefold(): name for name in (*_INTEGERS, *_REALS, *_FLAGS, *_WORDS, *_PATHS, *_DESK, "Declare")}
_NAMES |= {"bits_per_colour": "Bits_Per_Color"}

_SWITCHES = {
    "AG": "Antialias_Gamma",
    "AM": "Sampling_Method",
    "BM": "Bounding_Method",
    "EC": "End_Column",
    "EF": "Subset_End_Frame",
    "ER": "End_Row",
    "H": "Height",
    "HI": "Include_Header",
    "HR": "High_Reproducibility",
    "I": "Input_File_Name",
    "K": "Clock",
    "KC": "Cyclic_Animation",
    "KF": "Final_Clock",
    "KFF": "Final_Frame",
    "KFI": "Initial_Frame",
    "KI": "Initial_Clock",
    "KLA": "Clockless_Animation",
    "L": "Library_Path",
    "MV": "Version",
    "O": "Output_File_Name",
    "Q": "Quality",
    "R": "Antialias_Depth",
    "RF": "Radiosity_File_Name",
    "RFI": "Radiosity_From_File",
    "RFO": "Radiosity_To_File",
    "RTR": "Real_Time_Raytracing",
    "RVP": "Radiosity_Vain_Pretrace",
    "SC": "Start_Column",
    "SF": "Subset_Start_Frame",
    "SR": "Start_Row",
    "STP": "Frame_Step",
    "SU": "Split_Unions",
    "UA": "Output_Alpha",
    "UF": "Field_Render",
    "UO": "Odd_Field",
    "UR": "Remove_Bounds",
    "W": "Width",
}
_DESK_SWITCHES = frozenset(
    (
        *("BS", "C", "D", "EP", "GA", "GD", "GF", "GI", "GP", "GR", "GS", "GW"),
        *("MI", "P", "RP", "RS", "SP", "UD", "UL", "UV", "V", "WL", "WT", "X"),
    )
)
_PAIRED = {
    "A": ("Antialias", "Antialias_Threshold"),
    "J": ("Jitter", "Jitter_Amount"),
    "MB": ("Bounding", "Bounding_Threshold"),
}
_PAIRED["B"] = _PAIRED["MB"]
"""Switches that turn something on and off, and may carry a number for another option."""

_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(?:[eE][-+]?[0-9]{1,2})?")
_OPTION = re.compile(r"([A-Za-z0-9_]+)\s*=\s*(.*)")
_DECLARE = re.compile(rf"([A-Za-z_][A-Za-z0-9_]{{0,63}})\s*=\s*({_NUMBER.pattern})")
_SWITCH = re.compile(r"([-+])([A-Za-z]+)(.*)")
_TYPE = re.compile(r"([A-Za-z])(G?)([0-9]{0,3})", re.IGNORECASE)
_ON, _OFF = ("on", "yes", "true", "1"), ("off", "no", "false", "0")

_DECLARES_MAX = 1_000


class BadOption(Exception):
    """An option cannot be taken; `code` says why in a word."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True, kw_only=True)
class Options:
    """Tell what was said: `settings` by their one spelling, checked; paths as they were written, last one last.

    `refusals` name what cannot be taken.
    """

    settings: dict[str, str] = field(default_factory=dict)
    declares: dict[str, str] = field(default_factory=dict)
    paths: dict[str, list[str]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)

    def path(self, name: str) -> str | None:
        """Give the last of an option's paths."""
        return self.paths.get(name, [None])[-1]


def read(text: str, name: str, into: Options) -> None:
    """Add what a file called `name` says to what is known; later words win, as in POV-Ray."""
    for line, words in enumerate(text.splitlines(), 1):
        stripped = words.strip()
        if stripped.startswith("["):
            # Sections are only read by who asks for one by name, and nobody can ask the mesh.
            return
        if not stripped or stripped[0] in ";#":
            continue
        for said in _said(stripped):
            try:
                _take(said, into)
            except BadOption as error:
                into.refusals.append(_refusal(f"{name} line {line}", error))


def complete(said: Mapping[str, str]) -> dict[str, str]:
    """Add POV-Ray's own defaults, so that no host's povray.ini matters."""
    settings = {
        "Width": str(DEFAULT_WIDTH),
        "Height": str(DEFAULT_HEIGHT),
        "Output_File_Type": "N",
        "Bits_Per_Color": "8",
        "Bounding_Threshold": "3",
        **said,
    }
    if settings["Output_File_Type"] == "S":
        settings["Output_File_Type"] = "N"
    return settings


def checked(name: str, value: str) -> str:
    """Give a setting's value in its one spelling; `name` is in its own. Raises BadOption."""
    if name in _INTEGERS:
        least, most = _INTEGERS[name]
        if re.fullmatch(r"[0-9]{1,12}", value) and least <= int(value) <= most:
            return str(int(value))
    elif name in _REALS:
        if _NUMBER.fullmatch(value):
            return value
    elif name in _FLAGS:
        if value.casefold() in _ON or value.casefold() in _OFF:
            return "on" if value.casefold() in _ON else "off"
    elif name in _WORDS:
        if _WORDS[name].fullmatch(value.upper()):
            return value.upper()
    else:
        raise BadOption("unknown-option", name)
    raise BadOption("bad-option", f"{name}={value[:80]}")


def declared(text: str) -> tuple[str, str]:
    """Give name and number of a `Declare`. Raises BadOption."""
    if match := _DECLARE.fullmatch(text):
        return match.group(1), match.group(2)
    raise BadOption("bad-option", f"Declare={text[:80]}")


def arguments(settings: Mapping[str, str], declares: Iterable[tuple[str, str]]) -> list[str]:
    """Give settings and declared numbers as words of POV-Ray's command line."""
    return [
        *(f"{name}={value}" for name, value in settings.items()),
        *(f"Declare={name}={value}" for name, value in declares),
    ]


def _said(words: str) -> list[str]:
    """Part a line into what it says: one option, or several switches."""
    if words[0] in "+-" and not _OPTION.fullmatch(words):
        return re.findall(r'[-+](?:[^\s"]|"[^"]*")+', words.partition(";")[0]) or [words]
    return [words]


def _take(said: str, into: Options) -> None:
    if match := _OPTION.fullmatch(said):
        _option(match.group(1), match.group(2), into)
    elif said[0] in "+-":
        _switch(said, into)
    else:
        raise BadOption("unknown-option", said[:80])


def _refusal(where: str, error: BadOption) -> Refusal:
    why, remedy = _WHY[error.code]
    return Refusal(code=error.code, subject=str(error), text=f"{where}: {error}: {why}", remedy=remedy)


def _option(spelled: str, rest: str, into: Options) -> None:
    name = spelled.casefold()
    if name in _REFUSED:
        if _unquoted(rest).casefold() in _OFF:
            return
        raise BadOption(_REFUSED[name], spelled)
    if name.endswith("_return"):
        return
    if (known := _NAMES.get(name)) is None:
        raise BadOption("unknown-option", spelled)
    value = _unquoted(rest)
    if known == "Declare":
        number, text = declared(value)
        if len(into.declares) >= _DECLARES_MAX:
            raise BadOption("bad-option", f"{_DECLARES_MAX} declared numbers are the most")
        into.declares[number] = text
    elif known in _PATHS:
        into.paths.setdefault(known, []).append(value)
    elif known == "Output_File_Type":
        into.settings[known] = checked(known, value[:1])
    elif known not in _DESK:
        into.settings[known] = checked(known, value)


def _unquoted(rest: str) -> str:
    """Give an option's value without its quotes, or up to a comment."""
    if rest[:1] in ('"', "'"):
        return rest[1:].partition(rest[0])[0]
    return re.split(r"[;#]", rest, maxsplit=1)[0].strip()


def _switch(switch: str, into: Options) -> None:
    match = _SWITCH.fullmatch(switch)
    if match is None:
        raise BadOption("unknown-option", switch[:80])
    sign, letters, rest = match.groups()
    on = "on" if sign == "+" else "off"
    whole = letters + rest
    if letters[0] in "Ff":
        if sign == "+" and len(whole) > 1:
            _file_type(whole[1:], into)
        return
    if whole[:2].upper() == "TH":
        into.settings["Dither"] = on
        if len(whole) > 2:
            into.settings["Dither_Method"] = checked("Dither_Method", whole[2:])
        return
    for length in (3, 2, 1):
        name, value = whole[:length].upper(), whole[length:]
        if len(name) != length:
            continue
        if name in _PAIRED and (not value or _NUMBER.fullmatch(value)):
            _paired(name, on, value, into)
            return
        if name in _DESK_SWITCHES:
            return
        if known := _SWITCHES.get(name):
            if known in _FLAGS and value:
                continue
            _option(known, f'"{_unquoted(value)}"' if known in _PATHS else value or on, into)
            return
    raise BadOption("unknown-option", switch[:80])


def _paired(name: str, on: str, value: str, into: Options) -> None:
    flag, number = _PAIRED[name]
    into.settings[flag] = on
    if value:
        into.settings[number] = checked(number, value)


def _file_type(value: str, into: Options) -> None:
    """Take a switch's file type with what may stand behind its letter: grey, or bits for each colour.

    In an option's value POV-Ray reads the letter alone, whatever follows.
    """
    match = _TYPE.fullmatch(value)
    if match is None:
        raise BadOption("bad-option", f"+F{value[:80]}")
    letter, grey, digits = match.groups()
    into.settings["Output_File_Type"] = checked("Output_File_Type", letter)
    if grey:
        into.settings["Grayscale_Output"] = "on"
    if digits and letter.upper() != "J":
        into.settings["Bits_Per_Color"] = checked("Bits_Per_Color", digits)
