"""Real peers with real Blender for end-to-end tests, each in a mount namespace of its own.

Only the submitter's peer sees the scene's folder and the folder that frames are delivered to; for the others an empty
file system lies over both. So a peer that renders from anything but what travelled to it cannot hide.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from mesh.ground.errors import MeshError
from tests.support import scenes
from tools.judge import Engine, judge, render_references
from tools.peers import Peer, PeerFailed, WaitedInVain, found, wait_for, wait_met

JOB_S = 120.0
"""A job of these tests takes ten seconds, on a machine that is busy with something else many more."""

CHANGE_S = 30.0
"""Anything short of a whole job."""

ORPHAN_S = 1.0
"""A renderer may outlive its node by so much."""

FAULTY = Path(__file__).with_name("faulty_blender.py")

Answer = dict[str, Any]


def hiding(*directories: Path) -> list[str]:
    """Return what runs a command where the directories are empty; skip the test where that needs other rights."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip(reason="mount namespaces need Linux and root")
    script = 'while [ "$1" != -- ]; do mount -t tmpfs -o strictatime,size=16m none "$1"; shift; done; shift; exec "$@"'
    names = [str(directory) for directory in directories]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *names, "--"]


@dataclass(kw_only=True)
class TestMesh:
    """Some peers of one mesh; the first is the submitter's."""

    __test__ = False

    directory: Path
    source: Path
    out: Path
    peers: list[Peer] = field(default_factory=list)

    @property
    def submitter(self) -> Peer:
        return self.peers[0]

    def named(self, name: str) -> Peer:
        return next(peer for peer in self.peers if peer.name == name)

    def add(
        self,
        name: str,
        *,
        settings: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        hidden: Sequence[Path] = (),
    ) -> Peer:
        """Make a peer that is not started yet; all but the first see neither source nor output."""
        within = hiding(self.source, self.out, *hidden) if self.peers else ()
        threads = {"engine_threads": 1} | dict(settings or {})
        peer = Peer(self.directory, name, settings=threads, environment=environment, within=within)
        self.peers.append(peer)
        return peer

    def start(self) -> None:
        """Found the mesh with the first peer and let the others in."""
        found(self.peers, "test")
        wait_met(self.peers, CHANGE_S)

    def submit(self, scene: Path, *options: str, out: Path | None = None) -> str:
        """Submit at the first peer, wait until it may go, and return the job's id."""
        said = self.submitter.typed("submit", str(scene), "--output", str(out or self.out), *options)
        job: str = said[0]["job"]["id"]
        return job

    def submit_soon(self, scene: Path) -> str:
        """Submit at the first peer through the API, and return the job's id as soon as there is one."""
        body = dict.fromkeys(("frames", "step", "name", "engine")) | {"scene": str(scene), "output": str(self.out)}
        for name, value in self.submitter.stream("/jobs", body):
            if name == "answer":
                job: str = value["job"]["id"]
                return job
        raise PeerFailed(f"{self.submitter.name} ended before it had answered")

    def wait(self, what: str, look: Callable[[Answer], object], job: str, within_s: float = JOB_S) -> Answer:
        """Wait until something holds of a job as the first living peer sees it, and return what it says then."""
        return self.wait_at(next(peer for peer in self.peers if peer.is_alive()), what, look, job, within_s=within_s)

    def wait_at(
        self, peer: Peer, what: str, look: Callable[[Answer], object], job: str, *, within_s: float = JOB_S
    ) -> Answer:
        """Wait until something holds of a job as one peer sees it, and return what it says then."""
        last: list[Answer] = []

        def found() -> Answer | None:
            last[:] = [peer.ask(f"/jobs/{job}")]
            return last[0] if look(last[0]) else None

        try:
            return wait_for(what, found, within_s, every_s=0.05)
        except (WaitedInVain, MeshError) as error:
            raise AssertionError(f"{error}: {story(last[0]) if last else ''}\n{self.logs()}") from error

    def sealed(self, job: str, within_s: float = JOB_S) -> Answer:
        """Wait until a job is sealed, every frame of it on the submitter's disk."""
        answer = self.wait("the job is sealed", lambda it: it["job"]["state"] == "sealed", job, within_s)
        assert answer["job"]["delivered"] == answer["job"]["tasks"], story(answer)
        return answer

    def rendering(self, peer: Peer, job: str, within_s: float = CHANGE_S) -> int:
        """Wait until a peer's engine has reported a sample of one of the job's frames, and return the frame."""

        def found() -> list[int]:
            rows = peer.ask("/status")["renders"]
            return [row["frame"] for row in rows if row["job"] == job and row["sample"] > 0]

        return wait_for(f"{peer.name} is in the middle of a frame", found, within_s)[0]

    def kill(self, peer: Peer) -> None:
        """Kill a peer, and expect that nothing that it had started lives a second later."""
        started = peer.started()
        peer.kill()
        wait_for(
            f"no renderer of {peer.name} lives",
            lambda: not any(one.is_alive() for one in {*started, *peer.started()}),
            ORPHAN_S,
        )

    def logs(self) -> str:
        """Return the end of what all peers printed."""
        return "\n".join(f"{peer.name}: {peer.tail()}" for peer in self.peers)


def story(answer: Answer) -> str:
    """Tell what became of a job, for the message of a test that failed."""
    job = answer["job"]
    lines = [f"{job['name']} is {job['state']}: {job['delivered']} of {job['tasks']} delivered; {job['problems']}"]
    for row in answer["frames"]:
        failures = [f"{one['peer_name']} {one['kind']} {one['reason']}" for one in row["failures"]]
        lines.append(f"  {row['frame']}: {row['state']} {row['holder_name']} attempt {row['attempt']} {failures}")
    return "\n".join(lines)


@contextmanager
def mesh_in(directory: Path) -> Iterator[TestMesh]:
    """Give a mesh without peers; in the end no process of any of its peers is left."""
    mesh = TestMesh(directory=directory / "peers", source=directory / "source", out=directory / "out")
    for each in (mesh.directory, mesh.source, mesh.out):
        each.mkdir()
    try:
        yield mesh
    finally:
        for peer in mesh.peers:
            peer.end()


@contextmanager
def running(directory: Path, *names: str) -> Iterator[TestMesh]:
    """Give a mesh whose peers all run and see each other."""
    scenes.engine()
    with mesh_in(directory) as mesh:
        for name in names:
            mesh.add(name)
        mesh.start()
        yield mesh


def heavier(
    name: str, directory: Path, *, samples: int = 24, size: tuple[int, int] = (320, 180), frames: int = 4
) -> Path:
    """Copy one of the project's scenes whose frames take longer: by default about a second each."""
    shutil.copytree(_heavier(name, samples, size, frames).parent, directory / name)
    return directory / name / f"{name}.blend"


@functools.cache
def _heavier(name: str, samples: int, size: tuple[int, int], frames: int) -> Path:
    """Make such a scene, for reading only."""
    path = scenes.own_scene(name, scenes.directory() / f"heavier-{samples}-{size[0]}x{size[1]}-{frames}")
    code = (
        "import bpy\n"
        f"bpy.ops.wm.open_mainfile(filepath={str(path)!r})\n"
        "scene = bpy.context.scene\n"
        f"scene.render.resolution_x, scene.render.resolution_y = {size}\n"
        f"scene.cycles.samples, scene.frame_end = {samples}, {frames}\n"
        "bpy.context.preferences.filepaths.save_version = 0\n"
        "bpy.ops.wm.save_mainfile()\n"
    )
    subprocess.run([scenes.python(), "-I", "-c", code], check=True, stdout=subprocess.DEVNULL)
    return path


@functools.cache
def engine_with(fault: str) -> Mapping[str, str]:
    """Give the environment of a peer whose only engine is a real Blender with a fault; `none` is one without.

    It has not the embedded engine, and one memory of proofs for all of a process, as peers of one user have.
    """
    programs = scenes.directory() / f"engine-{fault}"
    programs.mkdir()
    program = programs / "blender"
    program.write_text(f'#!/bin/sh\nexec "{scenes.python()}" -I "{FAULTY}" {fault} "$@"\n', "utf-8")
    program.chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "MESHNODE_CACHE": str(scenes.directory() / "cache")}


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What shows whether a file was touched."""

    inode: int
    changed_ns: int
    data: bytes


def stamps(directory: Path) -> dict[str, Stamp]:
    """Take down everything that shows whether any file of a directory was written, replaced or removed."""
    found = {}
    for path in sorted(directory.glob("[!.]*")):
        status = path.stat()
        found[path.name] = Stamp(inode=status.st_ino, changed_ns=status.st_mtime_ns, data=path.read_bytes())
    return found


def references_of(scene: Path, first: int, last: int) -> Path:
    """Have Blender alone render frames of a scene, and return where they are.

    Once for all scenes whose folders hold the same bytes, whichever tests of this process they belong to.
    """
    content = blake3()
    for path in sorted(path for path in scene.parent.rglob("*") if path.is_file()):
        data = path.read_bytes()
        content.update(f"{path.relative_to(scene.parent)} {len(data)} ".encode() + data)
    directory = scenes.directory() / f"alone-{content.hexdigest()}-{scene.stem}-{first}-{last}"
    if not directory.exists():
        engine = scenes.engine()
        program = Engine(program=engine.program, version=engine.version, embedded=engine.embedded)
        render_references(program, scene, directory, first, last)
    (references,) = directory.iterdir()
    return references


def assert_like_blender_alone(directory: Path, references: Path, frames: int) -> None:
    """Hold delivered frames against references, in every bit."""
    names = sorted(path.name for path in directory.iterdir())
    assert len(names) == frames, names
    for name in names:
        verdict = judge(directory / name, [references / name])
        assert verdict.difference.none, f"{name}: {verdict.difference}"
