"""What a turn says, fitted to what each peer reads: the last thing that is done to its effects.

No machine has to know to whom it speaks: what an older peer does not read is left out of what it is sent. Who must
choose peers for a job asks the directory which of them `speaks` what the job needs.
"""

from mesh.core.directory import Directory
from mesh.core.effects import Effect, Send
from mesh.wire.versions import VERSION_HIGHEST, fitted


def spoken(effects: list[Effect], directory: Directory) -> list[Effect]:
    """Return the effects, each message as its receiver's version has it, without those that it has not."""
    said: list[Effect] = []
    for effect in effects:
        if isinstance(effect, Send) and (version := directory.version(effect.peer)) < VERSION_HIGHEST:
            message = fitted(effect.message, version)
            if message is not None:
                said.append(effect if message is effect.message else Send(peer=effect.peer, message=message))
        else:
            said.append(effect)
    return said
