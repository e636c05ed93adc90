"""Every bound of the protocol in one place, each with its reason, and the relations that must hold between them.

Durations are milliseconds. A bound that only one encoder needs stands there, beside the field that it bounds.
"""

from mesh.ground.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

# Leases: they bound waste and never decide which picture stands.

HEARTBEAT_MS = SECOND_MS
"""Holders and keepers speak once a second: what a channel carries without being noticed."""

LEASE_MS = 6 * SECOND_MS
"""Silence that ends a lease: five lost heartbeats, so that a busy machine is not taken for a dead one."""

RECLAIM_MS = 8 * SECOND_MS
"""By then another peer has a silent peer's frame (p95)."""

RESTARTED_KEEPER_MS = LEASE_MS
"""A keeper that did not see the submission hears every live lease before it opens a task."""

SETTLE_LEAST_MS = 50
"""Settle time before enough round trips were measured, and its floor: a round trip in a studio is under 10 ms."""

SETTLE_MOST_MS = SECOND_MS
"""Settle time's ceiling: twice the round trip of a peer on another continent is less."""

SETTLE_SAMPLES = 20
"""Round trips measured before the settle time follows them."""

FIRST_CLAIMS_MS = 100
"""A peer claims nothing of a job that it just heard of: each keeper hears of the others in that time, and claims of one
task that went to two keepers are given to two peers."""

UNANSWERED_MS = 2 * SECOND_MS
"""A claimant that no keeper answered renders all the same: keepers may be gone, frames must be rendered."""

STALLED_MEDIANS = 10
"""A lease whose render made no progress for ten times the task median ends: somebody hoards or hangs."""

STALLED_LEAST_MS = 2 * MINUTE_MS
"""The median of short tasks says little about a cold start, so that no lease ends for stalling before this."""

STALLED_UNKNOWN_MS = 15 * MINUTE_MS
"""The same before a job has a result: nobody knows yet whether a frame takes a second or half a night, and the first
ones load the scene. Longer would leave a job of one frame to whoever claims it and does nothing."""

CLAIMS_PER_SECOND = 2
"""Claims a slot may send each second; shorter tasks go in frame runs."""

RUN_MOST = 16
"""Tasks in one frame run: more would leave others idle at the end of a job."""

GAP_MS = 2 * SECOND_MS
"""A gap of the clock between two turns that means: this host slept; hear the news before claiming."""

NEWS_AFTER_GAP_MS = 1_500
"""How long a peer that slept listens before it claims again: more than a heartbeat and a window's period."""

DRAIN_MS = 10 * SECOND_MS
"""How long a peer that stops in order waits for its last pictures to be safe."""

# Keepers.

KEEPERS = 5
"""Peers that claims and records go to: two may be down while three acknowledge."""

DURABLE = 3
"""Peers that must have fsynced a record before it is called durable."""

MARK_MS = 20 * MINUTE_MS
"""A keeper's mark is signed again that often."""

MARK_LIFE_MS = HOUR_MS
"""A mark expires, so that a mesh forgets keepers that left; a head lives as long after its last one."""

KEEPERLESS_MS = 30 * SECOND_MS
"""Marked keepers that none of answered for so long are replaced by the closest live peers."""

WINDOW_PERIOD_MS = 500
"""Followers get changes of task state at most twice a second."""

WINDOW_FACTOR = 4
"""The window is four times the slots of all the job's peers: in a window of their own number nearly all collide."""

FOLLOW_PERIOD_MS = 5 * SECOND_MS
"""A follower repeats itself that often."""

FOLLOWED_MS = 3 * FOLLOW_PERIOD_MS
"""A keeper forgets a follower that it has not heard for so long."""

# Records.

SYNC_PERIOD_MS = 10 * SECOND_MS
"""Peers that keep a job compare digests that often, and on connecting."""

LOST_PER_AUTHOR = 3
"""Statements of loss that act, per job and author other than the submitter, lowest ids first: a liar reopens three."""

RESULTS_PER_AUTHOR = 64
"""Results, or the submitter's losses, that one author may write of one task: each follows a loss."""

SEALS_PER_AUTHOR = 4
"""Seals that one author may write of one job: it needs one, and perhaps another after a restart."""

LOST_AFTER_MS = 30 * SECOND_MS
"""No holder answered for so long: the output is lost."""

LOST_AFTER_SAFE_MS = 10 * MINUTE_MS
"""The same where the output was safe: its holders' disks mostly come back."""

FAILURES_PER_TRY = 3
"""A task stops after `tries` authors failed it, or after three times as many failures."""

COPIES_DEFAULT = 3
TRIES_DEFAULT = 3
"""Peers that try a task before it stops."""
TRIES_LEAST = 2
"""So that the only peer of a mesh tries again after a crash, as its owner would."""

HEARD_MS = HOUR_MS
"""Peers heard of within the last hour count when `copies` and `tries` are set."""

JOB_DAYS_MS = 90 * DAY_MS
"""A job's last day, counted from its submission."""

MAX_JOBS = 4_096
"""Live heads in the mesh set; beyond them new ones are refused."""

MAX_JOBS_KNOWN = 4 * MAX_JOBS
"""Jobs that a peer keeps records of, the ended ones included: until their last day their seals are compared."""

MAX_RECORDS_PER_JOB = 1_000_000
"""Records of one job that a peer keeps: far above any honest job's, far below what fills a disk."""

FAILED_HERE_MS = 10 * SECOND_MS
"""A peer that failed a task leaves it to others for so long, then takes it again if it is still open."""

UNFIT_MS = MINUTE_MS
"""A peer whose own disk or engine failed claims nothing of that job for so long."""

# Membership.

ADMISSION_MS = 30 * DAY_MS
"""An admission's life: a laptop that stays in a drawer for a month asks again."""

FOUNDING_MS = 3_650 * DAY_MS
"""The life of the founder's own admission: its key lies beside the root key, which could sign another at any time."""

RENEW_BEFORE_MS = 10 * DAY_MS
"""An admission is renewed from then on."""

INVITE_MS = DAY_MS
"""An invite's life."""

MAX_ADMISSIONS_KEPT = 4_096
"""Admissions by open invites that the mesh set holds."""

MAX_REVOCATIONS = 4_096
"""Revocations that a peer keeps, 18 MiB of the largest: none is ever dropped, so that beyond them none is taken."""

MAX_CONTACTS = 8_192
"""Peers that are known by name and address: those met, and as many again by hearsay."""

RUMOUR_TRIES = 4
"""Dials of a peer that others only tell of, before it is forgotten: whoever is there answers the first or second."""

RUMOUR_PAUSE_FACTOR = 4
"""Each pause between them is so much longer than the one before: 2, 8 and 32 s outlast a restart."""

RUMOURS_PER_SECOND = 32
"""Addresses that are tried for the sake of rumours, in the long run: a twenty-fifth of a processor, whoever lies."""

RUMOUR_PURSE = 256
"""And at once, after a quiet while: a newcomer meets a mesh of a hundred peers as fast as they answer."""

FORGOTTEN_MS = MINUTE_MS
"""So long nobody who told of a forgotten peer is believed again; twice as long each further time."""

FORGOTTEN_MOST_MS = HOUR_MS
"""A way that was shut for days and opens is found within this by hearsay alone."""

MAX_MEMBERS = 65_536
"""Chains that a peer knows: far more than any mesh has members, far less than an inviter gone mad can sign."""

# Connections.

MAX_CHANNELS = 2_048
"""Channels a peer has at most."""

DIAL_BACK_MS = 100
"""A channel that broke is dialled back at once, and again so soon, at doubling intervals: a process that was just
killed may for some milliseconds still seem to listen, and only a refusal proves that it is gone."""

REDIAL_MS = 2 * SECOND_MS
REDIAL_MOST_MS = 20 * SECOND_MS
"""A known peer without a channel is dialled again, at doubling intervals up to this, or up to `PROBE_PER_PEER_MS` for
each connected peer where that is longer. So are the addresses that a person gave, and contacts told again."""

PROBE_PER_PEER_MS = SECOND_MS
"""However large a mesh, an address that all its peers were given hears from one of them a second."""

SILENT_MS = LEASE_MS
"""A channel without a word for so long is no way to reach anybody; it is closed and dialled again after twice that."""

BUSY_MS = 30 * SECOND_MS
"""How many slots are busy is told that often at most: it changes with every frame, and nobody decides by it."""

OFFER_AGAIN_MS = 10 * MINUTE_MS
"""What a host offers is told again after so long without a change."""

WITNESSES = 3
"""Peers asked to dial back when a person wants to know who can reach this host: one of them may be in an odd place."""

TRY_MS = 6 * SECOND_MS
"""How long one dial may take that only shows whether it works: a TCP connection retries after 1 and 3 s."""

REACH_MS = 10 * SECOND_MS
"""Who was asked to dial back and has not answered by then is not waited for: its dials take `TRY_MS`, all at once."""

DIALLED_BACK_MS = 5 * SECOND_MS
"""A peer is dialled back that often at most, so that nobody has us dial for him without end."""

DIALLING_BACK = 4
"""Peers that are dialled back at a time; to others it is said that nothing was tried."""

MAX_REACH_ASKED = 32
"""Questions of people about reach under way at a time."""

CLOCK_WARN_MS = MINUTE_MS
"""Clocks that differ by more are worth a word: times of invites and jobs are compared between hosts."""

CLOCK_BAD_MS = 10 * MINUTE_MS
"""Clocks that differ by more break things: keepers' marks from so far ahead are not taken."""

# Who is there: probes, doubts and tidings. Silence proves nothing; it costs a peer its channel, which soon comes back.

PROBE_MS = SECOND_MS
"""One member of the view is probed so often, whatever its size: every peer is probed by about one other a second."""

PROBE_PATIENCE_MS = 500
"""How long the answer to a probe is waited for before others ask: longer than a round trip around the world."""

PROBE_PATIENCE_LEAST_MS = 150
"""Measured round trips shorten that to no less: a busy host's pause."""

PROBE_WHOLE_MS = 2 * PROBE_PATIENCE_MS
"""And so long until it is called unanswered, whether others asked too, the channel, or both."""

PROBE_HELPERS = 3
"""Others that are asked to probe who did not answer: all of them share a bad way with it in few cases."""

PROBES_OPEN = 64
"""Probes under way at once, and as many for others: more are only wanted where half of a large view is gone."""

PROBES_ANSWERED_PER_SECOND = 16
"""Probes of one peer that are answered in a second: many times what an honest one asks, whatever it hears."""

PROBES_HELPED_PER_SECOND = 4
"""Probes that are made for one other peer in a second, wherever it says that the third one is."""

DEAF_PROBES = 3
"""So many probes in a row that a peer answered on its channel and not by datagram: something lets none through."""

DEAF_MS = 10 * MINUTE_MS
"""So long only the channel is asked then: each try by datagram is a handshake in vain."""

CHANNEL_QUIET_MS = 15 * SECOND_MS
"""A channel that said nothing for so long is asked as well when its peer is probed: only its own answer proves it."""

LATE_MS = 250
"""A timer that comes so late means that this host is too busy to judge of others' silence."""

HEALTH_WORST = 7
"""How ill this peer may think of itself: all its patience is so many times longer, and once more."""

DOUBT_MS = SECOND_MS
"""The least time for which a peer may clear itself among ten; another second each for a hundred, a thousand."""

DOUBT_FACTOR = 4
"""So much longer it has where nobody else finds it silent: as long as a silent channel lives, among a hundred."""

DOUBT_WITNESSES = 3
"""Others that asked it themselves in vain, and it has the least time."""

DOUBT_AGAIN_MS = SECOND_MS
"""A doubted peer is asked again so often."""

DOUBT_TOLD_MS = 200
"""Hearsay is told on after that, if it still stands: who answers us at once is not doubted aloud."""

DOUBTS_PER_TELLER = 16
"""Peers that one other can make this one doubt, and so probe, in a second: as many as one datagram names."""

REFUTED_MS = 10 * SECOND_MS
"""Having to clear itself makes a peer think worse of its own health that often at most: a liar could do it at will."""

TIDINGS_MS = 250
"""While there are fresh tidings they are told so often, and doubts are looked at."""

TIDINGS_PEERS = 3
"""To so many peers at a time, drawn anew: all of a hundred know after four or five times."""

TIDINGS_TOLD = 4
"""Each is told so many times, times the digits of the number of peers, as an epidemic needs, with some to spare."""

MAX_TIDINGS_KEPT = 512
"""Tidings that are being told; the most told one makes room. As many as two views have members."""

# The DHT: who is where. Nothing that must be true rests on it.

DHT_BUCKET = 20
"""Peers in one bucket of the routing table, as the Kademlia paper has it: one of them is up an hour later."""

DHT_COPIES = 8
"""Peers that keep a pointer: with 30 % of them gone at once all copies are lost in 7 of 100,000 cases."""

DHT_SAME_INVITE = 8
"""Of a bucket's peers so many may have come by one invite: who makes twenty identities gets less than half of it."""

DHT_SAME_RANGE = 8
"""The same for one address range, an IPv4 /24 or an IPv6 /64: a desk's own network, or one bad neighbour."""

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

DHT_ANSWERS_PER_SECOND = 64
"""Questions of one peer that are answered in a second: many times what an honest one asks."""

DHT_PINGS_PER_SECOND = 4
"""Peers met on channels that are asked each second whether they hear datagrams too."""

DHT_STRANGERS = 256
"""Peers that wait to be asked."""

DHT_OLD_MS = 15 * MINUTE_MS
"""A peer not heard of for so long is asked whether it is there before a full bucket turns a newcomer away."""

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

SEEKS = 4
"""Lost peers that are looked up at once, so that a peer that lost everybody asks in turn."""
# The beacon on the LAN.

BEACON_MS = SECOND_MS
"""Between a peer's first beacons; the pause doubles from one to the next."""

BEACON_ALONE_MS = 5 * SECOND_MS
"""While a peer has no channel at all its pauses grow no longer: somebody waits in front of it."""

BEACON_ANSWER_MS = 4 * SECOND_MS
"""Who hears a peer that it has no channel with answers by a beacon of its own, but not sooner after its last: of two,
only one may be where the other can dial it."""

BEACON_KNOCKS = 32
"""Dials to which beacons lead at once; an office that is switched on in the morning."""

BEACON_KNOCKS_PER_SECOND = 4
"""And in the long run: whoever has the mesh secret and invents peers makes others dial no oftener."""

BEACONS_READ_PER_SECOND = 64
"""Datagrams at the beacon's port that are looked at; what a flood sends beyond them is never read."""

# Blobs.

SEEK_PERIOD_MS = 3 * SECOND_MS
"""Who seeks a blob repeats itself; a source forgets it after three periods."""

FETCH_PIECES = 8
"""Pieces asked for in one go, so that a slow source costs little."""

FETCHES_PER_PEER = 2
"""Requests under way to one source: one is answered while the next one waits there."""

FETCHES = 8
"""Requests under way in all."""

FETCH_MS = 60 * SECOND_MS
"""A request without an answer for so long is given up."""

SCENE_HOLDERS = 3
"""Other peers that must hold a whole scene before its submitter may go."""

# Datagrams.

MAX_PAIRS = 4_096
"""Peers that this one has keys with for datagrams, some 4 KB each; beyond them the least recently used goes."""

MAX_CALLS = 256
"""Peers whose answer to a first datagram is waited for; beyond them what was to be sent is lost, as datagrams are."""

CALL_MS = 5 * SECOND_MS
"""All of a handshake by datagrams: as long as one on a connection."""

CALL_AGAIN_MS = 250
"""A handshake's datagram is sent again after that, then at doubling intervals: longer than most round trips."""

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

PAYLOADS_PER_PEER = 256
"""Of these from one peer: many times what any honest one asks of another."""

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

# One turn.

NOTES_PER_TURN = 4_096
"""Notes that one event may cause: more means a loop, which is a bug."""

NOTES_PER_JOB = 8
"""And so many more for each job that the peer knows: once a second it looks at all of them."""

assert HEARTBEAT_MS * 3 <= LEASE_MS < RECLAIM_MS
assert RESTARTED_KEEPER_MS >= LEASE_MS
assert SETTLE_LEAST_MS <= FIRST_CLAIMS_MS
assert SETTLE_LEAST_MS < SETTLE_MOST_MS < UNANSWERED_MS < LEASE_MS
assert DURABLE <= KEEPERS
assert DIAL_BACK_MS < REDIAL_MS < REDIAL_MOST_MS
assert HALF_OPEN_PER_SOURCE * 2 <= HALF_OPEN_CALM < MAX_HALF_OPEN
assert CALL_AGAIN_MS * 4 < CALL_MS <= HALF_OPEN_MS
assert PAYLOADS_PER_PEER < PAYLOADS_PER_SECOND
assert CHECKS_PER_SOURCE < CHECKS_PER_SECOND and ANSWERS_PER_SOURCE < ANSWERS_PER_SECOND
assert PAIR_DOUBT_QUIET_MS < PAIR_DOUBT_MS < PAIR_QUIET_MS < PAIR_FRESH_MS < PAIR_IDLE_MS < PAIR_MS
assert REDIAL_MS * RUMOUR_PAUSE_FACTOR ** (RUMOUR_TRIES - 2) < FORGOTTEN_MS < FORGOTTEN_MOST_MS
assert BEACON_MS < BEACON_ANSWER_MS < BEACON_ALONE_MS < REDIAL_MOST_MS
assert MARK_MS * 2 < MARK_LIFE_MS
assert WINDOW_PERIOD_MS < FOLLOW_PERIOD_MS < FOLLOWED_MS
assert TRY_MS < REACH_MS
assert PROBE_PATIENCE_LEAST_MS < PROBE_PATIENCE_MS < PROBE_WHOLE_MS <= PROBE_MS
assert DOUBT_TOLD_MS < TIDINGS_MS < DOUBT_MS
assert BUSY_MS < OFFER_AGAIN_MS
assert CLOCK_WARN_MS < CLOCK_BAD_MS
assert LOST_AFTER_MS > LEASE_MS
assert DHT_PARALLEL < DHT_COPIES <= DHT_BUCKET
assert max(DHT_SAME_INVITE, DHT_SAME_RANGE) * 2 < DHT_BUCKET
assert DHT_PATIENCE_LEAST_MS < DHT_PATIENCE_MS < DHT_PATIENCE_MOST_MS
assert POINTER_CHANGED_MS < POINTER_AGAIN_MS and 2 * POINTER_AGAIN_MS <= POINTER_MS
assert SEEK_PEER_MS < SEEK_PEER_MOST_MS
assert LOST_AFTER_SAFE_MS > LOST_AFTER_MS
assert RENEW_BEFORE_MS < ADMISSION_MS
