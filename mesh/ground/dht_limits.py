"""The bounds of the DHT, each with its reason: who is where. Nothing that must be true rests on it."""

from mesh.ground.datagram_limits import PAYLOADS_PER_PEER
from mesh.ground.instants import HOUR_MS, MINUTE_MS, SECOND_MS

DHT_BUCKET = 20
"""Peers in one bucket of the routing table, as the Kademlia paper has it: one of them is up an hour later."""

DHT_COPIES = 8
"""Peers that keep a pointer: with 30 % of them gone at once all copies are lost in 7 of 100,000 cases."""

DHT_SAME_INVITE = 8
"""Of a bucket's peers so many may have come by one invite: who makes twenty identities gets less than half of it."""

DHT_SAME_RANGE = 8
"""The same for one address range, an IPv4 /24 or an IPv6 /64: a desk's own network, or one bad neighbour."""

DHT_SAME_NEAR = DHT_COPIES // 2
"""Where more than so many of the nearest share an invite or a range, the nearest beyond them are taken, too."""

DHT_PARALLEL = 3
"""Questions of one look-up under way at once; those that are late do not count, so that a dead peer holds none up."""

DHT_AGREEING = 3
"""Peers that must have answered with a pointer before the look-up ends early: one alone may have an old one."""

DHT_QUESTIONS = 64
"""Questions that one look-up asks at most: an honest one among 10,000 peers needs about 20."""

DHT_CANDIDATES = 256
"""Nodes that one look-up considers at most, whatever it is told."""

DHT_LIES = 3
"""So many silent nodes, and none that answers, by one peer's word: the others that it told of are not asked."""

DHT_LOOKUPS = 32
"""Look-ups under way at once; the next one finds nothing, and is tried again by whoever wanted it."""

DHT_PATIENCE_MS = 750
"""How long an answer is waited for before round trips were measured: a handshake may have to come first."""

DHT_PATIENCE_LEAST_MS = 150
DHT_PATIENCE_MOST_MS = 1_500
"""Measured round trips set it between these: twice the way to another continent, and a busy host's pause."""

DHT_FAILS = 2
"""Questions, each asked twice, that a peer leaves unanswered before it is forgotten: one loss proves nothing."""

DHT_ANSWERS_PER_SECOND = 32
"""Questions of one peer that are answered in a second: one of each look-up that it may have under way."""

DHT_PINGS_PER_SECOND = 4
"""Peers met on channels that are asked each second whether they hear datagrams too."""

DHT_STRANGERS = 256
"""Peers that wait to be asked."""

DHT_PART = DHT_COPIES // 2
"""So many of the nearest peers unknown until now: not some newcomers, but a part of the mesh that was cut off."""

DHT_TOLD_MS = 5 * SECOND_MS
"""One of the nodes that others tell of is asked that often: thirty tellers name one part of the mesh thirty times."""

PART_TOLD_MS = 30 * SECOND_MS
"""Others are told of a newly found part of the mesh that often at most: they pass it on."""

DHT_OLD_MS = 15 * MINUTE_MS
"""A peer not heard of for so long is asked whether it is there before a full bucket turns a newcomer away."""

DHT_BUCKET_MS = MINUTE_MS
"""Between looks into two buckets: some twenty questions each, of them many to strangers, who cost a handshake."""

DHT_REFRESH_MS = HOUR_MS
"""Each bucket is looked into that often, as the paper has it; and once on joining."""

MAX_POINTERS = 4_096
"""Pointers that one peer keeps for others, 1.6 MB: in a mesh of 10,000 it is asked to keep about eight."""

SHELF_SWEEP_MS = 10 * SECOND_MS
"""Pointers kept for others are looked through that often for those that ended."""

POINTER_MS = 20 * MINUTE_MS
"""A pointer's life."""

POINTER_AGAIN_MS = 10 * MINUTE_MS
"""A pointer is published again that often by its author alone: one publication may fail and nobody notices."""

POINTER_CHANGED_MS = 30 * SECOND_MS
"""And that often at most when it changed: slots fill and empty with every frame."""

POINTER_CLOCKS_MS = 10 * MINUTE_MS
"""Clocks may differ by so much before a pointer's expiry is called too far away."""

SEEK_PEER_MS = 20 * SECOND_MS
"""A peer that no address leads to is looked up again that often, at doubling intervals."""

SEEK_PEER_MOST_MS = POINTER_AGAIN_MS
"""By then it has published again, if it is anywhere."""

SEEK_EACH_MS = 30 * SECOND_MS
"""Lost peers that no job waits for are looked up one each so long: where many vanish at once, most are just off."""

SEEKS = 4
"""Lost peers that are looked up at once, so that a peer that lost everybody asks in turn."""

assert DHT_PARALLEL < DHT_COPIES <= DHT_BUCKET
assert max(DHT_SAME_INVITE, DHT_SAME_RANGE) * 2 < DHT_BUCKET
assert DHT_PATIENCE_LEAST_MS < DHT_PATIENCE_MS < DHT_PATIENCE_MOST_MS
assert POINTER_CHANGED_MS < POINTER_AGAIN_MS and 2 * POINTER_AGAIN_MS <= POINTER_MS
assert SEEK_PEER_MS < SEEK_PEER_MOST_MS
assert DHT_LOOKUPS <= DHT_ANSWERS_PER_SECOND < PAYLOADS_PER_PEER
