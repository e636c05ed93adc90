"""The bounds of the protocol, each with its reason, and the relations that must hold between them.

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

CLOSEST_KEEPER_MS = 1_500
"""And so long it waits for a channel to the closest keeper, where that has to be found first: a look-up and a dial."""

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

BUCKET_LEAST_MS = 500
"""Each bucket costs some 50 ms to begin, and a record, whatever its size."""

BUCKET_MOST_MS = 20 * SECOND_MS
"""So much is lost with the host that renders it."""

BUCKETS_PER_SLOT = 4
"""A bucket is a fourth of what is left for its slot, so that buckets shrink towards the end."""

GRANT_MS = 2 * SECOND_MS
"""A grant that nobody claimed for so long goes to another."""

SELF_CLAIM_MS = SECOND_MS
"""A slot without a grant claims by itself so long before its work ends, or half the time that it takes."""

TAIL_COPIES_MOST = 4
"""Copies of the last buckets of a job, for each of its peers."""

TAIL_GAIN_LEAST_MS = 1 * SECOND_MS
"""A copy must end so much earlier, or by what loading the scene takes, if that is more: one of the two renders is
ended, and with it an engine that has the scene loaded."""

TAIL_GAIN_PERCENT = 30
"""A copy must end so much sooner than what it copies: costs are estimates."""

SPLIT_LEAST_MS = 4 * SECOND_MS
"""Frames that take less are not worth their buckets: each of these takes half a second at least."""

SPLIT_FRAMES = 16
"""The last frames of an animation of which so many may be rendered in buckets: those for which slots are idle."""

SAMPLE_SHARES_MAX = 64
"""Shares of a still's samples: each travels as a whole picture with all its passes, 66 MB of 8 floats in 1080p."""

FIRST_BUCKET_PIXELS = 32 * 32
"""Of a still's first buckets, before it is known what a pixel costs: one cell of most pictures. They are probes: where
a pixel costs a tenth of a second, larger ones would take longer than all the rest."""

GAP_MS = 2 * SECOND_MS
"""A gap of the clock between two turns that means: this host slept; hear the news before claiming."""

NEWS_AFTER_GAP_MS = 1_500
"""How long a peer that slept listens before it claims again: more than a heartbeat and a window's period."""

DRAIN_MS = 10 * SECOND_MS
"""How long a peer that stops in order waits for its last pictures to be safe."""

HAND_OVER_MS = 10 * MINUTE_MS
"""How long a peer that leaves for good waits for others to take what it holds: some 20,000 pictures at 32 a second."""

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

WINDOW_CALM_MS = 2 * SECOND_MS
"""Followers that were told plenty of open tasks, of which few are taken yet, hear that these are no more often."""

WINDOW_STALE = 16
"""Few is less than one in so many: so many claims that were made from the old window would be in vain."""

FOLLOW_PERIOD_MS = 5 * SECOND_MS
"""A follower repeats itself that often."""

FOLLOWED_MS = 3 * FOLLOW_PERIOD_MS
"""A keeper forgets a follower that it has not heard for so long."""

# Records.

SYNC_PERIOD_MS = 10 * SECOND_MS
"""Peers that keep a job compare digests that often, and on connecting."""

LOOK_WAIT_MS = 1_500
"""A person who asks about a job's frames waits so long for what others know of them, and is then told what is here."""

LOOK_FRESH_MS = SECOND_MS
"""What was compared so lately is not compared again for a person's question: a program may ask all the time."""

LOST_PER_AUTHOR = 3
"""Statements of loss that act, per job and author other than the submitter, lowest ids first: a liar reopens three."""

LOST_PER_BUCKET = 2
"""The same of each bucket: hundreds are lost with a host, and somebody must be able to say so of all of them. A liar
has each rendered twice more, which is less than a whole frame three times."""

RESULTS_PER_AUTHOR = 64
"""Results, or the submitter's losses, that one author may write of one task: each follows a loss."""

BUCKETS_PER_AUTHOR = 4
"""The same of one bucket. Blocks of all sizes overlap, so that a cell has as many more as there are sizes."""

SEALS_PER_AUTHOR = 4
"""Seals that one author may write of one job: it needs one, and perhaps another after a restart."""

COMPLAINTS_PER_AUTHOR = 64
"""Complaints by one author that are kept of one job: as many as a person would look at."""

COMPLAINTS_PER_JOB = 512
"""The same of all authors together: each is under a kilobyte, and they end with the job."""

LOST_AFTER_MS = 30 * SECOND_MS
"""No holder answered for so long: the output is lost."""

LOST_BUCKET_MS = LEASE_MS
"""The same of a bucket: a still waits for it, and it is rendered again in seconds."""

OPINION_MS = 60 * SECOND_MS
"""How long a picture waits to be compared with another that comes slowly: half of what no lease stalls before."""

LOST_AFTER_SAFE_MS = 10 * MINUTE_MS
"""The same where the output was safe: its holders' disks mostly come back."""

FAILURES_PER_TRY = 3
"""A task stops after `tries` authors failed it by no fault of their hosts, or after three times as many failures."""

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
"""Live heads in the mesh set, some 4 MB; beyond them the submitters with the most lose their last ones."""

MAX_JOBS_EACH = 64
"""Live heads of one submitter: a night's shots of one artist, and a sixty-fourth of the set for one gone mad."""

MAX_JOBS_KNOWN = 4 * MAX_JOBS
"""Jobs that a peer keeps records of, the ended ones included: until their last day their seals are compared."""

MAX_MARKS_PER_JOB = 32
"""Marks of one job, those closest to it: five keepers at a time, and those that left in the last hour."""

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

INVITE_MOST_MS = 366 * DAY_MS
"""The longest life of an invite: for so long the mesh set holds whom it let in, so that its uses are counted."""

MAX_ADMISSIONS_KEPT = 4_096
"""Admissions by invites that the mesh set holds; beyond them whoever admitted most loses its oldest."""

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

CHANNEL_SHARE = 128
"""One part in so many of a processor is what a member may cost a host in the long run, some thirty records a second,
since each is paid for by all keepers: many times what an honest one says, and nobody who renders beside it notices."""

EARNED_SHARE = 32
"""One part in so many besides is what a member may cost whose outputs others keep: a dozen short frames a second."""

CHANNEL_PURSE_MS = SECOND_MS
"""And so much processor time at once, after a quiet while: thousands of records that a new keeper lacks."""

CHANNEL_PAUSE_MS = 2 * SECOND_MS
"""So long a channel is not read at most, whatever its peer owes: it must not pass for a silent one."""

CHANNEL_BACKLOG_BYTES = 256 * 1024
"""Records for a peer that has so much else to read are not sent: they are compared again, heartbeats are not."""

DIAL_BACK_MS = 100
"""A channel that broke is dialled back at once, and again so soon, at doubling intervals: a process that was just
killed may for some milliseconds still seem to listen, and only a refusal proves that it is gone."""

REDIAL_MS = 2 * SECOND_MS
REDIAL_MOST_MS = 20 * SECOND_MS
"""A known peer without a channel is dialled again, at doubling intervals up to this, or up to `PROBE_PER_PEER_MS` for
each connected peer where that is longer. So are the addresses that a person gave, and contacts told again."""

UNWANTED_MS = 10 * SECOND_MS
"""In a large mesh others have taken the place of most who do not answer: they are dialled again no sooner."""

PROBE_PER_PEER_MS = SECOND_MS
"""However large a mesh, an address that all its peers were given hears from one of them a second."""

EVERYBODY = 128
"""Peers up to which each keeps a channel with every other: an idle channel costs a probe now and then."""

PING_AGAIN_MS = 3 * SECOND_MS
"""A channel loses nothing: who has not answered is asked again only so that a busy host's round trip is measured."""

KEEPER_QUIET_MS = 800
"""Who holds leases asks the keeper that hears of them whether it is there when it said nothing for so long."""

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

# Who is there: probes, doubts and tidings. Silence proves nothing; it costs a peer its channel, for a while.

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

TIDINGS_LARGE_MS = 2 * TIDINGS_MS
"""In a large mesh half as often, twice as many at a time: where hundreds vanish, half of what is told is headers."""

TIDINGS_PEERS = 3
"""To so many peers at a time, drawn anew: all of a hundred know after four or five times."""

TIDINGS_TOLD = 4
"""Each is told so many times, times the digits of the number of peers, as an epidemic needs, with some to spare."""

MAX_TIDINGS_KEPT = 512
"""Tidings that are being told; the most told one makes room. As many as two views have members."""

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
assert REDIAL_MS * RUMOUR_PAUSE_FACTOR ** (RUMOUR_TRIES - 2) < FORGOTTEN_MS < FORGOTTEN_MOST_MS
assert BEACON_MS < BEACON_ANSWER_MS < BEACON_ALONE_MS < REDIAL_MOST_MS
assert MARK_MS * 2 < MARK_LIFE_MS
assert KEEPERS * 2 < MAX_MARKS_PER_JOB
assert MAX_JOBS_EACH < MAX_JOBS < MAX_JOBS_KNOWN
assert WINDOW_PERIOD_MS < FOLLOW_PERIOD_MS < FOLLOWED_MS
assert TRY_MS < REACH_MS
assert CHANNEL_PAUSE_MS < SILENT_MS < CHANNEL_SHARE * CHANNEL_PURSE_MS
assert PROBE_PATIENCE_LEAST_MS < PROBE_PATIENCE_MS < PROBE_WHOLE_MS <= PROBE_MS
assert DOUBT_TOLD_MS < TIDINGS_MS < DOUBT_MS
assert BUSY_MS < OFFER_AGAIN_MS
assert CLOCK_WARN_MS < CLOCK_BAD_MS
assert LOST_AFTER_MS > LEASE_MS
assert LOST_BUCKET_MS < OPINION_MS < STALLED_LEAST_MS
assert LOST_AFTER_SAFE_MS > LOST_AFTER_MS
assert RENEW_BEFORE_MS < ADMISSION_MS
