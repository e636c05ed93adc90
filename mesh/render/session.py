"""Hold the talk with one renderer process: commands, answers, signs of life, and why it ended.

Theory: the process answers each command with one message; between them come progress and, each second, its processor
time. A process that neither progresses nor computes for too long has hung; of one that says nothing the system is
asked. One whose channel ends has crashed: its exit code, the system's count of memory kills and the end of its log say
why.

Must not know scenes, recipes or which renderer it is: it only carries messages and turns failures into the port's
errors.
"""

from collections.abc import Callable

import trio

from mesh.ports.renderer import (
    EngineBroken,
    EngineTooOld,
    FrameFailed,
    OutputUnwritable,
    PathLeavesTree,
    Refusal,
    RendererCrashed,
    RendererError,
    RendererHung,
    RendererOutOfMemory,
    SceneRefused,
    SceneUnreadable,
    StageClosed,
)
from mesh.render import process
from mesh.render.channel import ChannelEnded, Message, listed, number

HELLO_MS = 120_000
"""Importing Blender, the slowest, takes 0.5 s, 10 s beside 39 busy processes, and longer from a cold disk."""

_BUSY_MS_PER_BEAT = 10
"""Showing life costs a stage 1 ms a second; one that computes uses more than this, even on a crowded machine."""

_LOG_CHARACTERS = 16 * 1024
_EXCERPT_LINES = 6
_MEMORY_WORDS = ("std::bad_alloc", "Malloc returns null", "Calloc returns null", "out of memory", "MemoryError")
_DISK_WORDS = ("No space left on device", "Permission denied", "Read-only file system", "Disk quota exceeded")

Heard = Callable[[Message], None]
Printed = Callable[[str], Message | None]


def _tells_itself(_log: str) -> Message | None:
    """Find no progress in what a process printed: it tells it over the channel."""
    return None


class Session:
    """Be one renderer process that says hello and answers commands.

    `printed` reads the last progress out of what it printed, for renderers that tell it in no other way.
    """

    def __init__(self, child: process.Child, engine_name: str, printed: Printed = _tells_itself) -> None:
        self._name = engine_name
        self._printed = printed
        self._memory_bytes = 0
        self.child = child
        self.version: tuple[int, ...] = ()
        self.build = ""

    async def ask(self, silence_ms: int, heard: Heard | None = None, **command: object) -> Message:
        """Send a command and wait for its answer; `heard` is told all progress on the way.

        Raises the port's error for whatever went wrong. Whenever there is no answer, the process is killed.
        """
        place = self.child.log.place()
        try:
            answer = await self._ask(silence_ms, heard, command)
        except RendererError as error:
            error.log = self.log(place)
            raise
        # What is in the log later belongs to another command: it would be blamed for a disk that was full before.
        self.child.catch_up()
        return answer

    async def _ask(self, silence_ms: int, heard: Heard | None, command: dict[str, object]) -> Message:
        answered = False
        try:
            await self.child.channel.send(**command)
            answer = await self._answer(silence_ms, heard)
            answered = True
        except ChannelEnded as error:
            raise await self._why_it_ended(str(error)) from error
        finally:
            if not answered:
                self.child.kill()
        if answer.get("is") == "failed":
            raise self._failure(answer)
        return answer

    async def _answer(self, silence_ms: int, heard: Heard | None) -> Message:
        alive, computed = trio.current_time(), 0
        place, told = self.child.log.place(), False
        while True:
            message = await self._heard_until(alive + silence_ms / 2000)
            if message is None:
                # A library may hold Python's lock while it computes, so that no thread of the stage says anything.
                before = self.child.processor_ms()
                message = await self._heard_until(alive + silence_ms / 1000)
                if message is None and self.child.processor_ms() - before >= _BUSY_MS_PER_BEAT * silence_ms / 2000:
                    alive = trio.current_time()
                    continue
            if message is None:
                raise RendererHung(f"{self._name} showed no life for {silence_ms / 1000:g} s{self._excerpt()}")
            match message.get("is"):
                case "beat":
                    now = number(message, "processor_ms")
                    self._memory_bytes = number(message, "memory_bytes")
                    if now - computed >= _BUSY_MS_PER_BEAT:
                        alive = trio.current_time()
                    computed = now
                    if heard is not None and not told and (printed := self._printed(self.child.log.since(place))):
                        alive = trio.current_time()
                        heard({**printed, "memory_bytes": self._memory_bytes})
                        place = self.child.log.place()
                case "progress":
                    alive, told = trio.current_time(), True
                    if heard is not None:
                        heard({**message, "memory_bytes": self._memory_bytes})
                case _:
                    return message

    async def _heard_until(self, deadline: float) -> Message | None:
        with trio.move_on_at(deadline):
            return await self.child.channel.receive()
        return None

    async def hello(self) -> None:
        """Wait until the renderer is up. Raises EngineBroken."""
        try:
            answer = await self._answer(HELLO_MS, None)
        except (ChannelEnded, RendererError) as error:
            await self.child.end()
            raise EngineBroken(f"{self._name} does not start{self._excerpt()}") from error
        version = listed(answer, "version")
        if answer.get("is") != "hello" or not version or any(type(part) is not int or part < 0 for part in version):
            raise EngineBroken(f"{self._name} is not what it should be")
        self.version = tuple(version)
        self.build = str(answer.get("build", ""))

    def log(self, place: int) -> str:
        """Give the end of what the process printed since a place in its log."""
        self.child.catch_up()
        return self.child.log.since(place)[-_LOG_CHARACTERS:]

    async def _why_it_ended(self, text: str) -> RendererError:
        killed = self.child.killed
        if not killed:
            # Its end of the channel is closed, but the process may still be dying, or only pretend to.
            with trio.move_on_after(5):
                await self.child.exit_code()
        code = await self.child.end()
        if killed:
            return StageClosed(f"{self._name} was ended on request")
        log = self.child.log.since()
        if self.child.was_out_of_memory() and code == -9:
            return RendererOutOfMemory(f"the system killed {self._name} for want of memory")
        if any(word in log for word in _MEMORY_WORDS):
            return RendererOutOfMemory(f"{self._name} ran out of memory ({_end(code)})")
        return RendererCrashed(f"{self._name} {_end(code)}: {text}{self._excerpt()}")

    def _failure(self, answer: Message) -> RendererError:
        text = str(answer.get("text", ""))
        match answer.get("code"):
            case "refused":
                return SceneRefused([_refusal(each) for each in listed(answer, "refusals")])
            case "leaves-tree":
                return PathLeavesTree(text)
            case "unreadable":
                return SceneUnreadable(text)
            case "too-old":
                return EngineTooOld(f"{text}, this is {self._name}")
            case "memory":
                return RendererOutOfMemory(text)
            case "frame" if any(word in text for word in _DISK_WORDS):
                return OutputUnwritable(text)
            case _:
                return FrameFailed(text)

    def _excerpt(self) -> str:
        """Give the last lines of the log, to be put behind a sentence."""
        lines = [line for line in self.child.log.since().splitlines() if line.strip()][-_EXCERPT_LINES:]
        return (": " + " | ".join(lines)) if lines else ""


def _end(code: int | None) -> str:
    if code is None:
        return "does not end, though it was killed"
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _refusal(each: object) -> Refusal:
    fields = each if isinstance(each, dict) else {}
    return Refusal(
        code=str(fields.get("code", "")),
        subject=str(fields.get("subject", "")),
        text=str(fields.get("text", "")),
        remedy=str(fields.get("remedy", "")),
    )
