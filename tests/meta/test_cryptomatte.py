"""The reader of mattes hashes names itself, and finds what manifest and channels do not agree on."""

import json
from collections.abc import Mapping

import numpy as np
import pytest

from tools.compare import Part
from tools.cryptomatte import Unmatched, ident, lost, mattes, murmur

NAME = "Layer.CryptoObject"
PREFIX = f"cryptomatte/{murmur(NAME.encode()):08x}"[:19]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # The published vectors for seed 0, of each length of the rest.
        ("", 0),
        ("test", 0xBA6BD213),
        ("Hello, world!", 0xC0363E43),
        ("The quick brown fox jumps over the lazy dog", 0x2E4FF723),
    ],
)
def test_the_hash_is_murmurs(text: str, value: int) -> None:
    assert murmur(text.encode()) == value


@pytest.mark.parametrize(("name", "value"), [("Ruby", 0x7D20CFF0), ("Wall", 0x2C388F97), ("Table", 0x25F2EEB0)])
def test_ids_are_blenders(name: str, value: int) -> None:
    assert ident(name) == value


def picture(ids: Mapping[str, float], **headers: str) -> Part:
    """A picture of one row, in which each thing covers so much of a pixel of its own."""
    values = np.array([[ident(name) for name in ids]], np.uint32).view(np.float32)
    amounts = np.array([list(ids.values())], np.float32)
    nothing = np.zeros_like(values)
    told = {
        f"{PREFIX}/name": NAME,
        f"{PREFIX}/hash": "MurmurHash3_32",
        f"{PREFIX}/conversion": "uint32_to_float32",
        f"{PREFIX}/manifest": json.dumps({name: f"{ident(name):08x}" for name in ids}),
    }
    changed = {f"{PREFIX}/{word}": text for word, text in headers.items()}
    channels = dict(zip("rgba", (values, amounts, nothing, nothing), strict=True))
    return Part(
        channels={f"{NAME}00.{letter}": samples for letter, samples in channels.items()}, headers=told | changed
    )


def test_things_are_found_by_their_names() -> None:
    (found,) = mattes(picture({"Ruby": 0.5, "Würfel": 1.0}))
    assert (found.name, found.covered, found.unnamed) == (NAME, {"Ruby": 0.5, "Würfel": 1.0}, 0.0)
    assert mattes(Part(channels={}, headers={})) == ()


def test_ids_that_nobody_named_are_counted() -> None:
    (found,) = mattes(picture({"Ruby": 0.5, "Topaz": 1.0}, manifest=json.dumps({"Ruby": f"{ident('Ruby'):08x}"})))
    assert (found.covered, found.unnamed) == ({"Ruby": 0.5}, 1.0)
    assert lost([found], mattes(picture({"Ruby": 0.5}))) == [f"{NAME}: ids without a name cover 1 pixels"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"name": "Layer.CryptoMaterial"}, id="a key of another name"),
        pytest.param({"hash": "md5"}, id="another hash"),
        pytest.param({"conversion": ""}, id="another conversion"),
        pytest.param({"manifest": '{"Ruby":"00000001"}'}, id="another id"),
        pytest.param({"manifest": '{"Ruby":'}, id="a manifest cut off"),
    ],
)
def test_what_makes_no_sense_is_said(headers: dict[str, str]) -> None:
    with pytest.raises(Unmatched):
        mattes(picture({"Ruby": 1.0}, **headers))


def test_channels_that_are_not_there_are_said() -> None:
    with pytest.raises(Unmatched, match="no channels"):
        mattes(Part(channels={}, headers=picture({"Ruby": 1.0}).headers))


def test_lost_things_and_mattes_are_named() -> None:
    whole = mattes(picture({"Ruby": 0.5, "Topaz": 1.0}))
    assert lost(whole, whole) == []
    assert lost(mattes(picture({"Ruby": 0.5})), whole) == [f"{NAME}: Topaz covers 0 pixels, not 1"]
    assert lost(mattes(picture({"Ruby": 0.25, "Topaz": 1.0})), whole) == [f"{NAME}: Ruby covers 0.25 pixels, not 0.5"]
    assert lost((), whole) == [f"the matte {NAME} is absent"]
    assert lost(whole, ()) == [f"the matte {NAME} is new"]
