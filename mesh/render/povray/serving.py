"""Serve one scene: run POV-Ray behind a wall, once for each command, watch it, and hand over what it made.

Both sides write one JSON object a line; what POV-Ray prints goes to the output, as the log, without its progress. The
node says what to `do`; the answer says what something `is`. What nobody foresaw ends the process, with a traceback.

Invariants: one thread. Whenever POV-Ray runs, the channel is listened to: at its end of file this process ends, and
POV-Ray with it, by the system's own means. POV-Ray reads the scene's tree and its own files, and writes one private
directory. A picture gets its final name when it is whole.
"""

import ctypes
import json
import mmap
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import confine

LINE_MAX_BYTES = 16 * 1024 * 1024

_BEAT_S = 1.0
_WATCH_S = 0.25
_PROGRESS_S = 0.25
_READ_BYTES = 64 * 1024
_LINE_BYTES = 16 * 1024
_PR_SET_PDEATHSIG = 1
_TICKS_PER_S = 100
"""What Linux counts processor time in, for programs, on every machine."""

_FREE_MIN_BYTES = 64 << 10
"""A file system with less than this free has cut off the picture, or will cut off the next."""

_PROGRESS = re.compile(rb"Rendered (\d{1,12}) of (\d{1,12}) pixels")
_VERSION = re.compile(r"Ray Tracer Version ([0-9.]*[0-9])")
_LOG_BEGINS = ("Parser Options", "====", "File '", "Fatal")
"""How the first line after the banner of seventy begins."""

_ERROR = re.compile(r"Error[: ]|^Fatal")
_NO_REASON = re.compile(r"^(Fatal error in (parser|renderer)|Render failed|Render halted)")
_WRAPPED_CHARACTERS = 80
"""Where POV-Ray breaks a line that has no space to break it at."""

_ERROR_CHARACTERS = 600
_KEPT_LINES = 200

Message = dict[str, Any]


class Refused(Exception):
    """A command cannot be carried out; `code` says why in a word that the node knows."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Channel:
    """Exchange lines with the node."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self._held = bytearray()

    def send(self, **message: Any) -> None:
        """Send one message; if nobody is there to hear it, end."""
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            os._exit(0)

    def receive(self) -> Message:
        """Wait for the next command; ends the process at the end of file."""
        while b"\n" not in self._held:
            self.take()
        line, _, rest = bytes(self._held).partition(b"\n")
        self._held[:] = rest
        command: Message = json.loads(line)
        return command

    def take(self) -> None:
        """Read what is there; ends the process at the end of file, or at a line that has none."""
        data = self.socket.recv(_READ_BYTES)
        self._held += data
        if not data or len(self._held) > LINE_MAX_BYTES:
            os._exit(0)


class Lines:
    """Part what POV-Ray prints into progress, which is counted, and a log, which is passed on."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0
        self.version = ""
        self.kept: list[str] = []
        self._held = b""
        self._begun = False

    def add(self, data: bytes) -> None:
        """Take output; lines end with a line feed or, progress, with a carriage return."""
        *lines, self._held = re.split(rb"[\r\n]", self._held + data)
        self._held = self._held[-_LINE_BYTES:]
        for line in lines:
            self._line(line[:_LINE_BYTES])

    def end(self) -> None:
        """Take the last line, which may lack its end."""
        self._line(self._held)
        self._held = b""

    def why(self) -> str:
        """Say why POV-Ray made no picture, in its own words."""
        said: list[str] = []
        goes_on = False
        for line in self.kept:
            if said and (goes_on or line.startswith(" ")):
                said[-1] += line
            else:
                said.append(line)
            goes_on = len(line) >= _WRAPPED_CHARACTERS
        errors = [text for text in said if _ERROR.search(text)]
        telling = [text for text in errors if not _NO_REASON.match(text)] or errors or said[-1:]
        return " | ".join(telling[-2:])[:_ERROR_CHARACTERS]

    def _line(self, line: bytes) -> None:
        if match := _PROGRESS.search(line):
            self.done, self.total = int(match[1]), int(match[2])
            return
        text = line.decode("utf-8", "replace")
        if named := _VERSION.search(text):
            self.version = self.version or named[1]
        self._begun = self._begun or text.startswith(_LOG_BEGINS)
        if text.strip():
            self.kept = [*self.kept[-_KEPT_LINES:], text]
            if self._begun:
                print(text)


class Stage:
    """Hold one scene and carry out commands one after the other."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._private = Path.cwd()
        self._nothing = self._private / "nothing.ini"
        self._opened: Message = {}

    def serve(self) -> None:
        """Carry out commands for ever; the end of the channel ends the process."""
        # Named as the host's povray.ini, so that none other counts.
        self._nothing.write_bytes(b"")
        self._channel.send(**{"is": "hello"}, version=[1], build="")
        actions = {"open": self._open, "render": self._render, "finish": self._finish, "try": self._try}
        while True:
            command = self._channel.receive()
            try:
                answer = actions[command["do"]](command)
            except Refused as refused:
                answer = {"is": "failed", "code": refused.code, "text": str(refused)}
            except OSError as error:
                answer = {"is": "failed", "code": "frame", "text": str(error)}
            sys.stdout.flush()
            self._channel.send(**answer)

    def _open(self, command: Message) -> Message:
        """Take note of a scene: its tree, what may be read, and the words of every command line."""
        self._opened = command
        try:
            os.close(self._wall(str(self._private)))
        except confine.CannotConfine as error:
            raise Refused("broken", str(error)) from error
        return {"is": "opened"}

    def _try(self, command: Message) -> Message:
        """Let POV-Ray read the scene and render next to nothing of it."""
        lines, code, _ = self._run([*command["arguments"], "Output_To_File=off"], str(self._private))
        if code != 0:
            raise Refused("unreadable", lines.why() or f"POV-Ray ended with {code}")
        return {"is": "tried"}

    def _render(self, command: Message) -> Message:
        """Render a frame, or a part of one, and put it where it is wanted."""
        started = time.monotonic()
        place = tempfile.mkdtemp(prefix="picture-", dir=self._private)
        try:
            lines, code, memory = self._run([*command["arguments"], f"Output_File_Name={place}/picture"], place)
            pictures = os.listdir(place)
            if code != 0 or len(pictures) != 1:
                raise Refused("frame", lines.why() or f"POV-Ray ended with {code} and wrote no picture")
            made = os.path.join(place, pictures[0])
            if not os.path.isfile(made) or os.path.islink(made) or os.path.getsize(made) == 0:
                raise Refused("frame", "POV-Ray wrote no picture")
            if shutil.disk_usage(place).free < _FREE_MIN_BYTES:
                raise Refused("frame", f"No space left on device: {place}")
            final = self._hand_over(made, command) if command["crop"] is None else self._cut(made, command)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return {
            "is": "rendered",
            "files": [final],
            "version": lines.version,
            "render_ms": int((time.monotonic() - started) * 1000),
            "memory_bytes": memory,
        }

    def _cut(self, made: str, command: Message) -> str:
        from . import developing

        part = f"{made}.part.exr"
        try:
            developing.cut(made, part, command["crop"], command["size"])
        except developing.Spoilt as error:
            raise Refused("frame", f"POV-Ray's picture is none: {error}") from error
        return self._hand_over(part, command)

    def _finish(self, command: Message) -> Message:
        """Make the file of a frame from its pasted buckets."""
        from . import developing

        started = time.monotonic()
        place = tempfile.mkdtemp(prefix="picture-", dir=self._private)
        try:
            made = os.path.join(place, "picture")
            developing.finish(command["passes"], made, command["output"])
            final = self._hand_over(made, command)
        except developing.Spoilt as error:
            raise Refused("frame", f"what was pasted is no picture: {error}") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
        elapsed_ms = int((time.monotonic() - started) * 1000)
        return {"is": "rendered", "files": [final], "render_ms": elapsed_ms, "memory_bytes": 0}

    def _hand_over(self, made: str, command: Message) -> str:
        """Copy a picture beside its place, which may be on another disk, and rename it."""
        beside, final = (os.path.join(command[key], command["name"]) for key in ("temporary", "directory"))
        with open(made, "rb") as source, open(beside, "xb") as copy:
            shutil.copyfileobj(source, copy)
        os.replace(beside, final)
        return final

    def _wall(self, writable: str) -> int:
        opened = self._opened
        return confine.wall((opened["program"], str(self._nothing), *opened["readable"]), (writable,))

    def _run(self, arguments: Sequence[str], writable: str) -> tuple[Lines, int, int]:
        """Run POV-Ray to its end; give what it printed, its exit code and the most memory that it took."""
        opened = self._opened
        wall = self._wall(writable)

        def before() -> None:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            confine.stand_behind(wall)

        try:
            # One thread, so what runs between fork and exec finds no lock held by another.
            child = subprocess.Popen(
                [opened["program"], *opened["arguments"], *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=opened["tree"],
                env={**os.environ, "HOME": writable, "TMPDIR": writable, "POVINI": str(self._nothing)},
                preexec_fn=before,  # noqa: PLW1509
            )
        finally:
            os.close(wall)
        return self._watched(child)

    def _watched(self, child: "subprocess.Popen[bytes]") -> tuple[Lines, int, int]:
        assert child.stdout is not None
        lines, memory, told, beaten = Lines(), 0, (0.0, 0), 0.0
        ceiling = self._opened["memory_bytes"] or 0
        with selectors.DefaultSelector() as waiting, child.stdout as output:
            waiting.register(output, selectors.EVENT_READ)
            waiting.register(self._channel.socket, selectors.EVENT_READ)
            while child.poll() is None or waiting.get_map().get(output.fileno()):
                for key, _ in waiting.select(_WATCH_S):
                    if key.fileobj is self._channel.socket:
                        self._channel.take()
                    elif data := os.read(output.fileno(), _READ_BYTES):
                        lines.add(data)
                    else:
                        waiting.unregister(output)
                now, taken = time.monotonic(), _memory_bytes(child.pid)
                memory = max(memory, taken)
                if ceiling and taken > ceiling:
                    child.kill()
                    child.wait()
                    raise Refused("memory", f"it took {taken >> 20} MiB of {ceiling >> 20} MiB allowed")
                if now - beaten >= _BEAT_S:
                    beaten = now
                    self._channel.send(**{"is": "beat"}, memory_bytes=taken, processor_ms=_processor_ms(child.pid))
                if lines.done != told[1] and now - told[0] >= _PROGRESS_S:
                    told = (now, lines.done)
                    text = f"rendered {lines.done} of {lines.total} pixels"
                    self._channel.send(**{"is": "progress"}, sample=lines.done, samples=lines.total, text=text)
        lines.end()
        return lines, child.wait(), memory


def _memory_bytes(pid: int) -> int:
    """Give the resident memory of a process, or 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read(200).split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError):
        return 0


def _processor_ms(pid: int) -> int:
    """Give the processor time that a process used, or 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read(2000).rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 // _TICKS_PER_S
    except (OSError, IndexError):
        return 0


def serve(fd: int) -> None:
    """Serve the node at the other end of an inherited socket until it is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.set_inheritable(fd, False)
    Stage(Channel(fd)).serve()
