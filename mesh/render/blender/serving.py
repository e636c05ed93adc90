"""Serve one scene: carry out what the node asks over the channel, one command after the other.

Both sides write one JSON object a line; Blender's own prints stay on its output, as the log. The node says what to
`do`; the stage answers with what something `is`. What nobody foresaw ends the process, with its traceback in the log.

Invariants: one thread reads the channel and ends the whole process at its end of file, in the middle of a frame too.
Another shows life each second while a command is in hand, with memory and processor time, and ends the process above
its memory ceiling. Scripts of the scene never run. A frame is rendered under a temporary name and renamed, so that a
file with its final name is whole. This module runs inside Blender only; `bpy` is imported when the threads run already.
"""

import json
import os
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from . import host, paths
from .header import NotABlend

LINE_MAX_BYTES = 16 * 1024 * 1024
"""The longest command: a recipe that maps some ten thousand paths."""

_BEAT_S = 1.0
_WATCH_S = 0.25
_PROGRESS_S = 0.25
_EXIT_ORPHAN = 0
_EXIT_MEMORY = 9
_SAMPLE = re.compile(r"Sample (\d+)/(\d+)")

Message = dict[str, Any]


class Refused(Exception):
    """A command cannot be carried out; `code` says why in a word that the node knows."""

    def __init__(self, code: str, text: str, refusals: list[dict[str, str]] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.refusals = refusals or []


class Channel:
    """Exchange lines with the node; any thread may send."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._lock = threading.Lock()
        self.commands: queue.Queue[Message] = queue.Queue()

    def send(self, **message: Any) -> None:
        """Send one message; if nobody is there to hear it, end."""
        data = json.dumps(message).encode() + b"\n"
        try:
            with self._lock:
                self._socket.sendall(data)
        except OSError:
            os._exit(_EXIT_ORPHAN)

    def read(self) -> None:
        """Read commands until the end of file, then end the process; runs in a thread of its own."""
        with self._socket.makefile("rb") as lines:
            while (line := lines.readline(LINE_MAX_BYTES)).endswith(b"\n"):
                self.commands.put(json.loads(line))
        os._exit(_EXIT_ORPHAN)


class Stage:
    """Hold one scene and carry out commands one after the other."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._memory_max = 0
        self._busy = True
        self._frame: int | None = None
        self._told = 0.0
        self._sampled = False
        self._main = ""
        self._has_sequences = False
        self._absent: frozenset[str] = frozenset()
        self._at: int | None = None
        self._obstacles: dict[str, list[str]] = {}

    def start(self) -> None:
        """Import Blender, say hello, and start the threads."""
        threading.Thread(target=self._channel.read, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        import bpy

        @bpy.app.handlers.persistent  # type: ignore[untyped-decorator]
        def on_stats(text: Any, *_: Any) -> None:
            self._on_stats(text)

        bpy.app.handlers.render_stats.append(on_stats)
        self._channel.send(**{"is": "hello"}, version=list(bpy.app.version), build=bpy.app.build_hash.decode())

    def serve(self) -> None:
        """Carry out commands for ever; the reading thread ends the process."""
        actions = {
            "open": self._open,
            "render": self._render,
            "finish": self._finish,
            "inspect": self._inspect,
            "prove": self._prove,
        }
        while True:
            self._busy = False
            command = self._channel.commands.get()
            self._busy = True
            try:
                answer = actions[command["do"]](command)
            except Refused as refused:
                answer = {"is": "failed", "code": refused.code, "text": str(refused), "refusals": refused.refusals}
            sys.stdout.flush()
            sys.stderr.flush()
            self._channel.send(**answer)

    def _open(self, command: Message) -> Message:
        """Settle the tree's paths, load its scene, and refuse it if it is not what it should be."""
        import bpy

        from . import inspect, refusals

        tree, recipe = command["tree"], command["recipe"]
        self._memory_max = command["memory_bytes"] or 0
        try:
            settled = paths.settle(tree, recipe["main"], recipe["links"])
            if settled.version > bpy.app.version[:2]:
                saved_by = ".".join(map(str, settled.version))
                raise Refused("too-old", f"a file of the job was saved by Blender {saved_by}")
            self._main = paths.inside(tree, recipe["main"])
        except paths.LeavesTree as error:
            raise Refused("leaves-tree", str(error)) from error
        except NotABlend as error:
            raise Refused("unreadable", str(error)) from error
        self._load(self._main)
        scene = bpy.context.scene
        self._check_files(tree, frozenset(recipe["absent"]), settled.outside)
        if found := refusals.find(scene, settled.engines):
            raise Refused("refused", "; ".join(each["text"] for each in found), found)
        self._prepare(scene, command["threads"])
        return {"is": "opened", "scene": scene.name, "output": inspect.output(scene)}

    def _load(self, path: str) -> None:
        import bpy

        if not os.path.isfile(path):
            raise Refused("unreadable", f"{os.path.basename(path)} is not there")
        try:
            bpy.ops.wm.open_mainfile(filepath=path, use_scripts=False)
        except RuntimeError as error:
            raise Refused("unreadable", f"{os.path.basename(path)}: {error}") from error

    def _check_files(self, tree: str, absent: frozenset[str], outside: Mapping[str, str]) -> None:
        """Refuse the scene if a file that it uses is outside the tree, or missing and not known to be."""
        import bpy

        from . import files

        missing = []
        for file in files.external_files(self._main, []):
            path = file["path"]
            if path in outside or not path.startswith(tree + os.sep):
                raise Refused("leaves-tree", f"{file['user']} reads {outside.get(path, path)}, outside the job's tree")
            if file["kind"] == "sequence":
                continue
            name = os.path.relpath(path, tree).replace(os.sep, "/")
            if file["missing"] and name not in absent and not file["needless"]:
                missing.append({"code": f"missing-{file['kind']}", "subject": name, "text": f"{name} is missing"})
        if missing:
            raise Refused("refused", "; ".join(each["text"] for each in missing), missing)
        self._has_sequences = any(image.source == "SEQUENCE" for image in bpy.data.images)
        self._absent = frozenset(os.path.join(tree, *name.split("/")) for name in absent)

    def _prepare(self, scene: Any, threads: int) -> None:
        """Choose what does not touch the picture: threads, kept data, nothing written beside it."""
        import bpy

        render = scene.render
        if threads:
            render.threads_mode, render.threads = "FIXED", threads
        # Moving hair differs from a cold render when data is kept from frame to frame.
        hair = any(settings.type == "HAIR" for settings in bpy.data.particles)
        render.use_persistent_data = not hair
        # It means nothing without a window, but makes Cycles keep the data of one layer for the next.
        render.use_single_layer = False
        render.use_overwrite, render.use_placeholder = True, False
        if hasattr(render, "use_render_cache"):
            render.use_render_cache = False
        if render.engine == "CYCLES":
            scene.cycles.device = "CPU"

    def _render(self, command: Message) -> Message:
        """Render one frame, or a part of one, to a temporary name and rename it."""
        import bpy

        from . import inspect

        scene, frame, started = bpy.context.scene, command["frame"], time.monotonic()
        self._check_sequences(frame)
        if command["region"] is None and command["samples"] is None:
            self._set_frame(scene, frame)
            return self._written(command, inspect.frame_name(scene, frame), started)
        return self._render_part(scene, command, started)

    def _render_part(self, scene: Any, command: Message, started: float) -> Message:
        """Render some pixels or some samples of a frame."""
        from . import cutting, sampling

        frame, kind = command["frame"], "samples" if command["samples"] is not None else "region"
        self._check_cutting(scene, kind)
        # A heavy scene takes seconds to go to a frame, even to the one where it is.
        if self._at != frame:
            self._set_frame(scene, frame)
        name = f"bucket_{frame}_{'_'.join(map(str, command[kind]))}.exr"
        try:
            # For whoever reads the log: Blender itself says nothing of its borders.
            if kind == "samples":
                first, count, of = command["samples"]
                print(f"bucket of frame {frame}: {count} samples from {first} of {of}", flush=True)
                with sampling.some(scene, first, count, of):
                    return self._written(command, name, started)
            left, top, right, bottom = command["region"]
            print(f"bucket of frame {frame}: {right - left}x{bottom - top} pixels at {left},{top}", flush=True)
            with cutting.bucket(scene, (left, top, right, bottom)):
                return self._written(command, name, started)
        except ValueError as error:
            raise Refused("frame", str(error)) from error

    def _finish(self, command: Message) -> Message:
        """Make the file of one frame from its passes."""
        import bpy

        from . import finishing, inspect

        scene, frame, started = bpy.context.scene, command["frame"], time.monotonic()
        self._check_cutting(scene)
        self._set_frame(scene, frame)
        name = inspect.frame_name(scene, frame)
        try:
            return finishing.finish(
                scene, command["passes"], command["temporary"], lambda: self._written(command, name, started)
            )
        except finishing.Unfit as error:
            raise Refused("frame", str(error)) from error

    def _check_cutting(self, scene: Any, kind: str = "region") -> None:
        """Refuse what is about parts of frames, of their pixels or samples, where these are only rendered whole."""
        from . import cutting, sampling

        if kind not in self._obstacles:
            found = sampling.obstacles(scene) if kind == "samples" else cutting.obstacles(scene)
            self._obstacles[kind] = [each["text"] for each in found]
        if reasons := self._obstacles[kind]:
            raise Refused("frame", f"frames of this scene are only rendered whole: {'; '.join(reasons)}")

    def _set_frame(self, scene: Any, frame: int) -> None:
        self._at = None
        try:
            scene.frame_set(frame)
        except RuntimeError as error:
            raise Refused("frame", str(error).strip()) from error
        self._at = frame

    def _written(self, command: Message, name: str, started: float) -> Message:
        """Have Blender render and write the frame that the scene is at, as it is set up, under this bare name."""
        import bpy

        render, frame = bpy.context.scene.render, command["frame"]
        original = render.filepath
        temporary, final = os.path.join(command["temporary"], name), os.path.join(command["directory"], name)
        self._frame, self._sampled = frame, False
        try:
            render.filepath = temporary
            outcome = bpy.ops.render.render(write_still=True)
        except RuntimeError as error:
            raise Refused("frame", str(error).strip()) from error
        finally:
            self._frame = None
            render.filepath = original
        if "FINISHED" not in outcome or not os.path.isfile(temporary):
            raise Refused("frame", "the renderer wrote no picture")
        os.replace(temporary, final)
        return {
            "is": "rendered",
            "frame": frame,
            "files": [final],
            "render_ms": int((time.monotonic() - started) * 1000),
            "memory_bytes": host.memory_bytes(),
        }

    def _check_sequences(self, frame: int) -> None:
        """Refuse a frame whose own pictures of an image sequence are not in the tree."""
        if not self._has_sequences:
            return
        from . import files

        for file in files.external_files(self._main, [range(frame, frame + 1)]):
            lacking = [name for name in file["missing"] if name not in self._absent]
            if file["kind"] == "sequence" and lacking and not file["needless"]:
                raise Refused("frame", f"{file['user']} needs {os.path.basename(lacking[0])}, which the job lacks")

    def _inspect(self, command: Message) -> Message:
        """Load the artist's own file where it lies, changing nothing, and tell all about it."""
        from . import inspect

        path = command["scene"]
        self._load(path)
        frames = [range(*each) for each in command["frames"]] if command["frames"] is not None else None
        return {"is": "inspected", **inspect.facts(path, frames, command["engines"])}

    def _prove(self, command: Message) -> Message:
        """Render Blender's own default scene very small with one render engine, and look at the picture."""
        import bpy

        bpy.ops.wm.read_factory_settings()
        scene, path = bpy.context.scene, command["file"]
        scene.render.engine = command["engine"]
        scene.render.resolution_x = scene.render.resolution_y = 16
        scene.render.resolution_percentage = 100
        if command["engine"] == "CYCLES":
            # Some builds have no denoiser: that is a scene's matter, not the engine's.
            scene.cycles.samples, scene.cycles.device, scene.cycles.use_denoising = 1, "CPU", False
        scene.render.filepath = path
        try:
            bpy.ops.render.render(write_still=True)
        except RuntimeError as error:
            raise Refused("frame", str(error).strip()) from error
        pixels = bpy.data.images.load(path).pixels[:]
        if min(pixels[0::4]) == max(pixels[0::4]):
            raise Refused("frame", "the picture of the test scene is empty")
        return {"is": "proven"}

    def _on_stats(self, text: Any) -> None:
        """Pass on Blender's own statistics: the first sample at once, others at most ten a second."""
        frame = self._frame
        if frame is None or not isinstance(text, str):
            return
        match = _SAMPLE.search(text)
        first = match is not None and not self._sampled and match.group(1) != "0"
        now = time.monotonic()
        if not first and now - self._told < _PROGRESS_S:
            return
        self._told = now
        self._sampled = self._sampled or first
        sample, samples = (int(group) for group in match.groups()) if match else (0, 0)
        self._channel.send(**{"is": "progress"}, frame=frame, sample=sample, samples=samples, text=text[-500:])

    def _watch(self) -> None:
        """Show life and hold the memory ceiling; runs in a thread of its own."""

        beaten = 0.0
        while True:
            memory = host.memory_bytes()
            if self._memory_max and memory > self._memory_max:
                text = f"it took {memory >> 20} MiB of {self._memory_max >> 20} MiB allowed"
                self._channel.send(**{"is": "failed"}, code="memory", text=text, refusals=[])
                os._exit(_EXIT_MEMORY)
            if self._busy and time.monotonic() - beaten >= _BEAT_S:
                beaten = time.monotonic()
                self._channel.send(**{"is": "beat"}, memory_bytes=memory, processor_ms=host.processor_ms())
            time.sleep(_WATCH_S)


def serve(fd: int) -> None:
    """Serve the node at the other end of an inherited socket until it is gone."""
    host.die_with_parent()
    stage = Stage(Channel(fd))
    stage.start()
    stage.serve()
