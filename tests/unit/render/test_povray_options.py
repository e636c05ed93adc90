"""What is taken of an .ini of POV-Ray, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.render.povray import options
from mesh.render.povray.options import BadOption, Options


def read(text: str) -> Options:
    said = Options()
    options.read(text, "a.ini", said)
    return said


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("Width=320\nHEIGHT = 200 ; so high", {"Width": "320", "Height": "200"}),
        ("+W320 +h200 -J +A0.3", {"Width": "320", "Height": "200", "Jitter": "off"} | {"Antialias": "on"}),
        ("Antialias=Yes\nJitter=0", {"Antialias": "on", "Jitter": "off"}),
        ("+FN16", {"Output_File_Type": "N", "Bits_Per_Color": "16"}),
        ("+FNG", {"Output_File_Type": "N", "Grayscale_Output": "on"}),
        ("Output_File_Type=N16", {"Output_File_Type": "N"}),
        ("+FJ90", {"Output_File_Type": "J"}),
        ("+KFI1 +KFF30 +KI0.5 +KF-2e1 +KC", {"Initial_Frame": "1", "Final_Frame": "30", "Initial_Clock": "0.5"}),
        ("+THB2", {"Dither": "on", "Dither_Method": "B2"}),
        ("+MB12 -B", {"Bounding": "off", "Bounding_Threshold": "12"}),
        ("Bits_Per_Colour=16", {"Bits_Per_Color": "16"}),
        ("Width=1\nWidth=2", {"Width": "2"}),
        ("; Width=3\n# Width=4\n\n[section]\nWidth=5", {}),
        ("Display=On\n+D +P -GA +WT4 +V\nPreview_Start_Size=8\nPost_Frame_Return=I", {}),
        ("Field_Render=off", {}),
    ],
)
def test_options_and_switches_come_out_under_one_spelling(text: str, settings: dict[str, str]) -> None:
    said = read(text)
    assert said.refusals == []
    assert settings.items() <= said.settings.items()
    assert settings or not said.settings


def test_paths_and_declared_numbers() -> None:
    said = read('+L"/a b"\nLibrary_Path=/c ; d\nInput_File_Name=a.pov\nDeclare=Size=1.5\nDeclare = Left = -2')
    assert said.paths == {"Library_Path": ["/a b", "/c"], "Input_File_Name": ["a.pov"]}
    assert said.declares == {"Size": "1.5", "Left": "-2"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Pre_Scene_Command=rm -rf /", "shell-out"),
        ("Fatal_Error_Command=x", "shell-out"),
        ("Start_Row=10", "partial-render"),
        ("+SC0.5", "partial-render"),
        ("+UF", "field-render"),
        ("Radiosity_To_File=on", "radiosity-file"),
        ("Bogus=1", "unknown-option"),
        ("+Z9", "unknown-option"),
        ("scene.pov", "unknown-option"),
        ("Width=0", "bad-option"),
        ("Width=1;2\nHeight=1e9", "bad-option"),
        ("Clock=1/2", "bad-option"),
        ("File_Gamma=-D", "bad-option"),
        ("Declare=A=b", "bad-option"),
        ("Declare=A=1 +Ievil", "bad-option"),
        ("Dither_Method=XX", "bad-option"),
    ],
)
def test_what_is_not_taken_is_named_with_its_line(text: str, code: str) -> None:
    said = read(f"Quality=9\n{text}")
    assert [refusal.code for refusal in said.refusals] == [code]
    assert said.refusals[0].text.startswith("a.ini line ")
    assert said.refusals[0].remedy


def test_of_several_switches_each_counts() -> None:
    said = read("+W64 +Z9 +H48")
    assert said.settings == {"Width": "64", "Height": "48"}
    assert len(said.refusals) == 1


@given(st.text(max_size=200))
def test_any_text_gives_plain_settings(text: str) -> None:
    said = read(text)
    for name, value in said.settings.items():
        assert options.checked(name, value) == value
    words = options.arguments(said.settings, said.declares.items())
    assert not any(set(word) & set(" \t\n\"';") for word in words)


@given(st.sampled_from(["Width", "Clock", "Antialias", "File_Gamma", "Input_File_Name", "x"]), st.text(max_size=20))
def test_what_a_recipe_says_is_held_to_the_same_rule(name: str, value: str) -> None:
    try:
        taken = options.checked(name, value)
    except BadOption:
        return
    assert taken.isascii()
    assert not set(taken) & set(" \n\"'/")
