"""What a renderer says is data: whatever a process that was taken over answers, the frame fails by name at worst."""

import json
import os
import socket
from pathlib import Path
from typing import cast

import pytest
import trio

from mesh.ports.renderer import (
    Engine,
    EngineBroken,
    FrameFailed,
    Rendered,
    RendererCrashed,
    RenderTask,
    SceneRefused,
    SceneUnreadable,
    StageLimits,
)
from mesh.render import process
from mesh.render.blender.recipe import Recipe
from mesh.render.blender.stages import BlenderStage
from mesh.render.channel import Channel
from mesh.render.session import Session

HELLO = '{"is": "hello", "version": [4, 2, 23], "build": "abc"}'
OPENED = (
    '{"is": "opened", "output": {"format": "PNG", "width": 1, "height": 1, "color_mode": "RGB", "depth": 8}, '
    '"memory_bytes": 1}'
)
NAME = "frame_0001.png"


class Puppet:
    """A child without a process: its end of the channel says what it was told to."""

    def __init__(self, *lines: str) -> None:
        ours, self._theirs = socket.socketpair()
        self._theirs.sendall("".join(f"{line}\n" for line in lines).encode())
        self.pid, self.killed = 1, False
        self.channel, self.log = Channel(ours), process.LogTail()

    def kill(self) -> None:
        self.killed = True

    def catch_up(self) -> None:
        """Have nothing to add: it prints nothing."""

    def processor_ms(self) -> int:
        return 0

    async def exit_code(self) -> int:
        await trio.lowlevel.checkpoint()
        return 0

    async def end(self) -> int:
        self.kill()
        return await self.exit_code()

    def was_out_of_memory(self) -> bool:
        return False

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.channel.close()
        self._theirs.close()


async def rendered_by(tmp_path: Path, *lines: str) -> Rendered:
    """Render one frame with a child that says these lines."""

    async def launch() -> Session:
        session = Session(cast("process.Child", Puppet(*lines)), "the child")
        try:
            await session.hello()
        except BaseException:
            await session.child.aclose()
            raise
        return session

    engine = Engine(name="blender", version="4.2", build="abc", program=tmp_path, embedded=True, renders=("CYCLES",))
    recipe = Recipe(main="a.blend", links=(), absent=())
    stage = BlenderStage(engine=engine, tree=tmp_path, recipe=recipe, limits=StageLimits(), launch=launch)
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / NAME).write_bytes(b"a picture")
    (directory / "a link").symlink_to(NAME)
    os.mkfifo(directory / "a pipe")
    try:
        await stage.open()
        return await stage.render(RenderTask(frame=1, directory=directory), lambda _progress: None)
    finally:
        await stage.aclose()


def run(tmp_path: Path, *lines: str) -> Rendered:
    return trio.run(rendered_by, tmp_path, *lines)


def answer(**fields: object) -> str:
    return json.dumps({"is": "rendered", "files": [NAME], "render_ms": 5, "memory_bytes": 9, **fields})


def test_a_frame_is_where_it_belongs_wherever_the_renderer_says_it_is(tmp_path: Path) -> None:
    done = run(tmp_path, HELLO, OPENED, answer(files=[f"/somewhere/else/{NAME}"]))
    assert done.files == (tmp_path / "out" / NAME,)
    assert (done.render_ms, done.memory_bytes) == (5, 9)


@pytest.mark.parametrize(
    "files",
    [[], None, 7, "frame_0001.png", ["nothing"], [".."], ["a link"], ["a pipe"], ["\0"], ["x" * 300], [[NAME]]],
    ids=str,
)
def test_a_frame_without_a_plain_file_failed(files: object, tmp_path: Path) -> None:
    with pytest.raises(FrameFailed, match="no picture"):
        run(tmp_path, HELLO, OPENED, answer(files=files))


def test_a_frame_is_one_file(tmp_path: Path) -> None:
    with pytest.raises(FrameFailed, match="several files"):
        run(tmp_path, HELLO, OPENED, answer(files=[NAME, NAME, *["nothing"] * 1_000]))


@pytest.mark.parametrize("number", ["x", [], None, True, -1, 1e300, 2**80], ids=str)
def test_numbers_that_are_none_count_as_nothing(number: object, tmp_path: Path) -> None:
    done = run(tmp_path, HELLO, OPENED, answer(memory_bytes=number, render_ms=number))
    assert (done.render_ms, done.memory_bytes) == (0, 0)


def test_progress_that_is_none_counts_as_nothing(tmp_path: Path) -> None:
    nonsense = (
        '{"is": "progress", "sample": 1e999, "samples": "x", "text": ["y"]}',
        '{"is": "beat", "memory_bytes": {}}',
    )
    assert run(tmp_path, HELLO, OPENED, *nonsense, answer()).files


@pytest.mark.parametrize("version", ['["x"]', "[[]]", "[1e999]", "7", "[-1]"])
def test_a_hello_without_a_version_is_no_engine(version: str, tmp_path: Path) -> None:
    with pytest.raises(EngineBroken, match="is not what it should be"):
        run(tmp_path, f'{{"is": "hello", "version": {version}}}')


@pytest.mark.parametrize("width", ['"x"', "[]", "1e999", "null"])
def test_a_scene_whose_output_makes_no_sense_is_not_opened(width: str, tmp_path: Path) -> None:
    with pytest.raises(SceneUnreadable, match="does not say what the scene writes"):
        run(tmp_path, HELLO, OPENED.replace('"width": 1', f'"width": {width}'))


@pytest.mark.parametrize("refusals", [None, 7, "ab", [7], [{"code": []}]], ids=str)
def test_refusals_that_are_none_refuse_all_the_same(refusals: object, tmp_path: Path) -> None:
    with pytest.raises(SceneRefused):
        run(tmp_path, HELLO, json.dumps({"is": "failed", "code": "refused", "refusals": refusals}))


def test_an_answer_that_nests_without_end_ends_the_talk(tmp_path: Path) -> None:
    with pytest.raises(RendererCrashed, match="no JSON"):
        run(tmp_path, HELLO, OPENED, "[" * 50_000)
