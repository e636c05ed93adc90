"""The bounds of datagrams between peers, each with its reason; those of all else are in `limits`."""

from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS

MAX_PAIRS = 4_096
"""Peers that this one has keys with for datagrams, some 4 KB each; beyond them the least recently used goes."""

MAX_CALLS = 256
"""Peers whose answer to a first datagram is waited for; beyond them what was to be sent is lost, as datagrams are."""

CALL_MS = 3 * SECOND_MS
"""All of a handshake by datagrams: what waits for it is a question that is given up by then."""

CALL_AGAIN_MS = 1_000
"""A first datagram is sent again after that, where the round trip is not known (RFC 9002, section 6.2.2, has the same);
so a peer that is gone costs two of them, of 1.2 KB each."""

FLIGHT_AGAIN_MS = 250
"""What ends a handshake is sent again after that, then at doubling intervals: longer than most round trips."""

CALL_NEXT_MS = 250
"""A peer's next address is tried so long after the one before, as when channels are dialled."""

CALL_ADDRESSES = 4
"""Addresses of one peer that are tried: those of a host, in a network at home and in one far away, of two families."""

CALL_PAYLOADS = 4
"""Payloads that wait for one peer's answer; the oldest is lost first, since who sent it has waited longest."""

MAX_HALF_OPEN = 256
"""Handshakes by datagrams that others began here and have not ended: thousands of honest ones a minute."""

HALF_OPEN_CALM = 128
"""From so many on, a first datagram must show a cookie, which only its true sender's address is told."""

HALF_OPEN_PER_SOURCE = 16
"""The same for one source (an IPv4 address, or an IPv6 network of 64 bits); twice as many it never has."""

HALF_OPEN_MS = 5 * SECOND_MS
"""How long one lives."""

CHECKS_PER_SECOND = 2_048
"""First datagrams looked at in a second, some 40 us each: a flood of them takes a tenth of one processor at most."""

CHECKS_PER_SOURCE = 256
"""Of these from one source, so that one stranger alone never keeps members out."""

ANSWERS_PER_SECOND = 256
"""First datagrams answered in a second, under half a millisecond each with what follows."""

ANSWERS_PER_SOURCE = 64
"""Of these to one source, which may be all the peers of a host."""

PAYLOADS_PER_SECOND = 4_096
"""Payloads taken in a second: twice what the largest mesh's core is asked, and a fraction of what it can answer."""

PAYLOADS_PER_PEER = 64
"""Of these from one peer: many times what any honest one asks of another, and a hundredth of a processor."""

COOKIE_MS = MINUTE_MS
"""The secret behind cookies is drawn anew so often, and the one before still counts."""

FORGERIES = 8
"""Messages that may fail to decrypt in one handshake: who sees it on its way can forge some, and must not end it."""

PAIR_MS = HOUR_MS
"""Keys are replaced after so long, by a new handshake: a stolen one reads no more than that."""

PAIR_IDLE_MS = 15 * MINUTE_MS
"""Keys that were not used for so long are forgotten; each peer of a view is probed every few minutes."""

PAIR_FRESH_MS = 12 * MINUTE_MS
"""A peer that was not heard for so long is called anew: it may be about to forget the keys."""

PAIR_DOUBT_MS = SECOND_MS
"""The same where something was said so long ago and nothing came since: it may have started anew, or moved."""

PAIR_QUIET_MS = 20 * SECOND_MS
"""A peer that was not heard for so long is doubted sooner: the least time for which a router keeps the way back."""

PAIR_DOUBT_QUIET_MS = 100
"""And that much sooner: before a question that nobody answered is asked once more."""

assert HALF_OPEN_PER_SOURCE * 2 <= HALF_OPEN_CALM < MAX_HALF_OPEN
assert FLIGHT_AGAIN_MS < CALL_AGAIN_MS < CALL_MS <= HALF_OPEN_MS
assert PAYLOADS_PER_PEER < PAYLOADS_PER_SECOND
assert CHECKS_PER_SOURCE < CHECKS_PER_SECOND and ANSWERS_PER_SOURCE < ANSWERS_PER_SECOND
assert PAIR_DOUBT_QUIET_MS < PAIR_DOUBT_MS < PAIR_QUIET_MS < PAIR_FRESH_MS < PAIR_IDLE_MS < PAIR_MS
