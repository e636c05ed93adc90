"""Start, watch and end the process of a renderer.

Theory: a child gets a process group of its own, a lower priority, an inherited socket and a private directory. It ends
when that socket ends, so a killed node leaves none behind; one that does not is killed with SIGKILL, always as a whole
group, since renderers ignore polite requests while they render.

Invariants: a child's output is read to its end by a thread, whatever else happens, so a full pipe never blocks it; only
its last part is kept. Whoever has an answer can have all that was printed before it (`catch_up`), though that thread
is behind. The child's end is seen by another thread, since others may hold its output for longer. After
`aclose` no process of the group is left, but for one that the system itself cannot end, and nobody waits for that one.
Must not know what is said over the channel.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import trio

from mesh.ports.renderer import EngineBroken
from mesh.render import posix
from mesh.render.channel import Channel

LOG_TAIL_BYTES = 64 * 1024
"""What is kept of a child's output: a few hundred lines, enough for any traceback."""

_POLITE_S = 0.5
"""How long a child may take to end by itself before it is killed."""

CLOSE_S = 5.0
"""How long the end of a killed child may take: milliseconds, unless it waits for a disk that is gone."""

_LAST_WORDS_S = 0.5
"""How long a child's output is read after its end: for ever only if a process that left its group holds it."""

_GONE_POLL_S = 0.005
_GONE_POLLS = 400
"""A killed group is gone within milliseconds; where nobody reaps orphans its zombies stay for ever."""

_PRIVATE = "meshnode-stage-"
"""How private directories begin; the number of the process that made one follows."""

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "HOME", "USER", "DISPLAY")
_KEPT_PREFIXES = ("CYCLES_", "CUDA_", "NVIDIA_", "HIP_", "ONEAPI_")


class LogTail:
    """Keep the last part of a child's output; any thread may add or read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = bytearray()
        self._passed = 0

    def add(self, data: bytes) -> None:
        """Add output, dropping what is too old."""
        with self._lock:
            self._held += data
            excess = len(self._held) - LOG_TAIL_BYTES
            if excess > 0:
                del self._held[:excess]
                self._passed += excess

    def place(self) -> int:
        """Give how many bytes were ever added, as a mark for `since`."""
        with self._lock:
            return self._passed + len(self._held)

    def since(self, place: int = 0) -> str:
        """Give what was added since a mark, as far as it is kept."""
        with self._lock:
            return bytes(self._held[max(0, place - self._passed) :]).decode("utf-8", "replace")


class Child:
    """Be one running child: its channel, its log, its end. Made by `start`."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, private: Path) -> None:
        self._process = process
        self.private = private
        self._memory_kills = posix.memory_kills()
        self._ended, self._drained = trio.Event(), trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self.channel = channel
        self.log = LogTail()
        self.killed = False
        assert process.stdout is not None
        self._output: IO[bytes] = process.stdout
        self._reading = threading.Lock()
        """Who has it reads the output, and adds to the log in the order in which it was read."""
        threading.Thread(target=self._drain, name=f"log of {process.pid}", daemon=True).start()
        threading.Thread(target=self._reap, name=f"end of {process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Give the process id, which is also the group's."""
        return self._process.pid

    def limit_memory(self, memory_bytes: int) -> None:
        """Set the system's own limit, a backstop behind the stage's."""
        posix.limit_memory(self.pid, memory_bytes)

    def processor_ms(self) -> int:
        """Give the processor time that the child used, as far as the system tells."""
        return posix.processor_ms(self.pid)

    def is_alive(self) -> bool:
        """Say whether the child was not seen to end."""
        return not self._ended.is_set()

    def kill(self) -> None:
        """Kill the whole group at once."""
        self.killed = True
        if not self._ended.is_set():
            posix.signal_group(self.pid, signal.SIGKILL)

    async def exit_code(self) -> int:
        """Wait for the child's end and its last words; negative numbers are signals."""
        await self._ended.wait()
        with trio.move_on_after(_LAST_WORDS_S):
            await self._drained.wait()
        return self._process.returncode

    async def end(self) -> int | None:
        """Kill the whole group and give the child's exit code; None if it has not ended after `CLOSE_S`."""
        self.kill()
        with trio.move_on_after(CLOSE_S):
            return await self.exit_code()
        return None

    def was_out_of_memory(self) -> bool:
        """Say whether the system killed processes for want of memory while this one ran."""
        return posix.memory_kills() > self._memory_kills

    async def aclose(self) -> None:
        """End the child politely, then by force; return when none of its group is left, or soon after."""
        with trio.CancelScope(shield=True):
            self.killed = True
            self.channel.close()
            with trio.move_on_after(_POLITE_S):
                await self._ended.wait()
            posix.signal_group(self.pid, signal.SIGKILL)
            with trio.move_on_after(CLOSE_S):
                await self.exit_code()
                for _ in range(_GONE_POLLS):
                    if posix.group_is_gone(self.pid):
                        break
                    await trio.sleep(_GONE_POLL_S)
            await trio.to_thread.run_sync(shutil.rmtree, self.private, True)

    def catch_up(self) -> None:
        """Add to the log what the child printed until now: a pipe holds less than is read at a time."""
        with self._reading:
            if not self._output.closed and posix.is_readable(self._output, 0):
                self.log.add(os.read(self._output.fileno(), LOG_TAIL_BYTES))

    def _drain(self) -> None:
        """Read all output; runs in a thread of its own."""
        ended = False
        while not ended:
            posix.is_readable(self._output, None)
            with self._reading:
                if posix.is_readable(self._output, 0):  # else somebody who caught up was first
                    data = os.read(self._output.fileno(), LOG_TAIL_BYTES)
                    self.log.add(data)
                    ended = not data
        with self._reading:
            self._output.close()
        self._tell(self._drained)

    def _reap(self) -> None:
        """Wait for the child's end; runs in a thread of its own, which alone does so."""
        self._process.wait()
        self._tell(self._ended)

    def _tell(self, event: trio.Event) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(event.set)


def start(argv: Sequence[str]) -> Child:
    """Start a child in a private directory; the number of its inherited socket becomes the last argument.

    Raises EngineBroken when the program cannot be started, for want of room or rights too.
    """
    with ExitStack() as undo:
        try:
            private = Path(tempfile.mkdtemp(prefix=f"{_PRIVATE}{os.getpid()}-"))
            undo.callback(shutil.rmtree, private, ignore_errors=True)
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                arguments = [*argv, str(theirs.fileno())]
                process = posix.spawn(arguments, channel=theirs, environment=_environment(private), directory=private)
        except OSError as error:
            raise EngineBroken(f"{argv[0]} does not start: {error.strerror}") from error
        undo.pop_all()
    return Child(process, Channel(ours), private)


def sweep() -> None:
    """Remove the private directories of nodes that were killed before they could."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PRIVATE}*-*"):
        owner = left.name.removeprefix(_PRIVATE).partition("-")[0]
        if owner.isdecimal() and not posix.is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _environment(private: Path) -> dict[str, str]:
    """Give a child little of ours, and directories of its own for whatever it writes beside pictures."""
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }
    directories = {
        name: str(private)
        for name in ("TMPDIR", "TEMP", "BLENDER_USER_RESOURCES", "BLENDER_USER_CONFIG", "BLENDER_USER_SCRIPTS")
    }
    return {**kept, **directories, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
