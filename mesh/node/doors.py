"""The door: short conversations with those who are not, or no longer, full members.

Theory: a joiner may say one thing, `AdmitAsk`, and an expired member one, `RenewAsk`; the core judges, and whatever it
answers is the conversation's end. On a channel that only renews, either side may be the one who expired, perhaps both.

Invariants: a conversation takes bounded time and there is a bounded number of them; whoever says anything else is let
go. The module must not know who may be admitted."""

import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from mesh.core.effects import AnswerDoor
from mesh.core.events import AdmissionAsked, Event, MessageHeard, RenewalAsked
from mesh.ground.errors import WireError
from mesh.node.hearing import Hearing
from mesh.ports.transport import Channel, ChannelClosed
from mesh.wire import messages
from mesh.wire.handshake import ChannelKind
from mesh.wire.members import Credentials, JoinRequest
from mesh.wire.messages import AdmitAsk, Admitted, Refused, RenewAsk

CONVERSATIONS: Final = 32
"""At a time: people who join or renew; the next ones wait a moment."""

CONVERSATION_S: Final = 10.0
"""All of one: the wait for a place, a question, an fsync and an answer."""


class Doors:
    """Holds the conversations and takes the core's answers."""

    def __init__(
        self,
        *,
        hearing: Hearing,
        shown: Callable[[], Credentials],
        expired: Callable[[], bool],
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._hearing = hearing
        self._shown = shown
        self._expired = expired
        self._tell = tell
        self._places = trio.CapacityLimiter(CONVERSATIONS)
        self._ops = itertools.count(1)
        self._waiting: dict[int, trio.MemorySendChannel[Admitted | Refused]] = {}

    def answer(self, effect: AnswerDoor) -> None:
        """Pass on what the core answers, if the asker still waits."""
        waiting = self._waiting.pop(effect.op, None)
        if waiting is not None:
            waiting.send_nowait(effect.answer)

    async def serve(self, channel: Channel) -> None:
        """Hold one conversation and close its channel."""
        with suppress(ChannelClosed, WireError):
            with trio.move_on_after(CONVERSATION_S):
                async with self._places:
                    if channel.kind is ChannelKind.ADMIT:
                        await self._admit(channel)
                    elif channel.kind is ChannelKind.RENEW:
                        await self._renew(channel)
        await channel.aclose()

    async def _admit(self, channel: Channel) -> None:
        shown = channel.shown
        message = await self._hearing.message(await channel.receive())
        if isinstance(message, AdmitAsk) and isinstance(shown, JoinRequest):
            op = next(self._ops)
            asked = AdmissionAsked(op=op, invite=shown.invite, subject=shown.by_subject.key, inviter=shown.inviter)
            await channel.send(messages.encode(await self._asked(op, asked)))

    async def _renew(self, channel: Channel) -> None:
        """Ask where this peer has expired, answer where the other has, and take in what it answers."""
        if self._expired():
            await channel.send(messages.encode(RenewAsk(chain=self._shown().chain)))
        while True:
            message = await self._hearing.message(await channel.receive())
            match message:
                case RenewAsk(chain=chain):
                    op = next(self._ops)
                    answer = await self._asked(op, RenewalAsked(op=op, chain=chain))
                    await channel.send(messages.encode(answer))
                    if not self._expired():
                        return
                case Admitted():
                    await self._tell(MessageHeard(peer=channel.peer, message=message))
                    return
                case _:
                    return

    async def _asked(self, op: int, event: Event) -> Admitted | Refused:
        """Ask the core and return its answer."""
        answers_in, answers = trio.open_memory_channel[Admitted | Refused](1)
        self._waiting[op] = answers_in
        try:
            await self._tell(event)
            return await answers.receive()
        finally:
            self._waiting.pop(op, None)
