"""The layout of a scene's tree and the recipe that goes with it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ports.renderer import SceneUnreadable
from mesh.render.blender.recipe import StoredAt, lay_out, parse


def stored(owner: str, text: str, path: str) -> StoredAt:
    return StoredAt(owner=owner, stored=text, path=path)


def test_files_of_the_project_keep_their_names_and_far_ones_get_new_ones() -> None:
    main, near, far = "/home/a/show/shots/s.blend", "/home/a/show/tex/t.png", "/mnt/fonts/f.ttf"
    laid = lay_out(main, [near, far], [], [stored(main, "//../tex/t.png", near), stored(main, far, far)])
    names = {str(file.path): file.name for file in laid.files}
    assert names[main] == "shots/s.blend"
    assert names[near] == "tex/t.png"
    assert names[far].startswith("_external/")
    assert names[far].endswith("/f.ttf")
    recipe = parse(laid.recipe)
    assert recipe.main == "shots/s.blend"
    assert set(recipe.links) == {
        ("shots/s.blend", "//../tex/t.png", "tex/t.png"),
        ("shots/s.blend", far, names[far]),
    }


def test_a_missing_file_is_named_absent_and_not_sent() -> None:
    main, gone = "/p/s.blend", "/p/gone.png"
    laid = lay_out(main, [], [gone], [stored(main, "//gone.png", gone)])
    assert [file.name for file in laid.files] == ["s.blend"]
    assert parse(laid.recipe).absent == ("gone.png",)


def test_the_first_file_of_a_sequence_is_mapped_though_no_frame_needs_it() -> None:
    main, first, needed = "/p/s.blend", "/seq/p_001.png", "/seq/p_005.png"
    laid = lay_out(main, [needed], [], [stored(main, first, first)])
    name = next(file.name for file in laid.files if str(file.path) == needed)
    ((_, _, target),) = parse(laid.recipe).links
    assert target.rpartition("/")[0] == name.rpartition("/")[0]
    assert target.endswith("p_001.png")


def test_a_name_that_some_system_cannot_hold_is_replaced_where_it_can_be() -> None:
    main, odd = "/p/s.blend", "/p/con/t.png"
    laid = lay_out(main, [odd], [], [stored(main, "//con/t.png", odd)])
    assert [file.name for file in laid.files if str(file.path) == odd] == ["_external/1/t.png"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":2,"main":"a","links":[],"absent":[]}',
        b'{"version":1,"main":3,"links":[],"absent":[]}',
        b'{"version":1,"main":"a","links":[["a","b"]],"absent":[]}',
        b'{"version":1,"main":"a","links":[["a","b",3]],"absent":[]}',
        b'{"version":1,"main":"a","links":[],"absent":4}',
        b"[" * 100_000,
    ],
)
def test_a_recipe_that_is_none_is_refused(document: bytes) -> None:
    with pytest.raises(SceneUnreadable):
        parse(document)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_recipe_or_scene_unreadable(data: bytes) -> None:
    try:
        parse(data)
    except SceneUnreadable:
        return
    assert isinstance(json.loads(data), dict)
