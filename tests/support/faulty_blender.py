"""Be Blender, with a fault: FAULT and then what Blender is started with. Runs in the embedded engine's environment.

`none` is no fault, and `older` one that scenes survive: the processor looks like one without AVX2, so that Cycles takes
another of its kernels.

The stage script runs unchanged, in a real Blender; the fault strikes in handlers that Blender calls, and only while a
job's scene is loaded, so that the engine passes its proof. `mesh` is not imported, as little as the stage does.
"""

import os
import runpy
import signal
import sys

GREED_BYTES = 64 * 1024 * 1024
LAST_WORDS = "the fault strikes now"


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def memory() -> None:
    """Take more and more, until somebody ends it."""
    held = []
    while True:
        held.append(os.urandom(GREED_BYTES))


def truncated() -> None:
    """Cut what was just written."""
    import bpy

    path = bpy.context.scene.render.filepath
    os.truncate(path, os.path.getsize(path) // 2)


def wrong() -> None:
    """Paint the same scene twice as bright."""
    import bpy

    bpy.context.scene.view_settings.exposure = 1.0


def unreadable(path: str) -> None:
    """Spoil the checked-out scene that is about to be read."""
    os.chmod(path, 0o600)
    os.truncate(path, 1000)


BEFORE = {"crash": crash, "hang": hang, "memory": memory, "wrong": wrong}
AFTER = {"truncated": truncated}


def main(fault: str, arguments: list[str]) -> None:
    if fault == "older":
        os.environ["CYCLES_CPU_NO_AVX2"] = "1"
    import bpy

    if fault == "older":
        # Cycles heeds the variable only where it is being debugged.
        bpy.app.debug_value = 256

    @bpy.app.handlers.persistent
    def strike(*_: object) -> None:
        if bpy.data.filepath:
            # What an engine says last is what people look for in its log.
            print(LAST_WORDS, flush=True)
            (BEFORE | AFTER)[fault]()

    @bpy.app.handlers.persistent
    def spoil(path: str, *_: object) -> None:
        if path:
            print(LAST_WORDS, flush=True)
            unreadable(path)

    if fault == "unreadable":
        bpy.app.handlers.load_pre.append(spoil)
    if fault in BEFORE:
        bpy.app.handlers.render_pre.append(strike)
    if fault in AFTER:
        bpy.app.handlers.render_write.append(strike)
    script = arguments[arguments.index("--python") + 1]
    sys.argv = [script, *arguments[arguments.index("--") :]]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
