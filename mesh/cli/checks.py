"""What is judged to be well: from facts about this host and its peer to findings, each with its remedy.

Theory: whoever looks (at files, sockets, limits, the peer's answers) only gathers facts; every judgement is a pure
function here, so that each can be tested without a sick machine. A finding is `ok`, `warn` (it works, or nobody can
tell) or `bad` (something does not work); whatever is not ok says what to do, on this very system.

The module must not look at anything itself.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from mesh.cli import words
from mesh.cli.firewall import Firewall, open_port
from mesh.ground.errors import MeshError
from mesh.ground.limits import CLOCK_BAD_MS, CLOCK_WARN_MS, PROBE_PER_PEER_MS, REDIAL_MOST_MS, RENEW_BEFORE_MS
from mesh.ports.desk import StatusAnswer
from mesh.ports.enginerows import EnginesAnswer
from mesh.ports.owner import ReachAnswer, TriedRow
from mesh.ports.roster import PeerRow
from mesh.wire.addresses import same_network

FREE_WARN_BYTES: Final = 5 << 30
"""A job's scenes and frames fill less in an afternoon."""
FREE_BAD_BYTES: Final = 256 << 20
"""The store keeps 64 MiB free; what is left then is a few frames."""
FILES_LEAST: Final = 256
"""Descriptors that a peer needs with a few others and one renderer; each further peer takes a few more."""
FILES_PER_PEER: Final = 4


class NotWell(MeshError):
    """`meshnode doctor` found something bad. Do what stands below each such line; for warnings alone it ends with 0."""

    exit_code = 47


class Verdict(enum.Enum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of what the doctor says; `remedy` is empty where all is well."""

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What was found on this host without its peer; sizes in bytes."""

    system: str
    python: str
    program: str
    """What a firewall sees listening."""
    home: str
    member: bool
    """Whether it belongs to a mesh."""
    free_bytes: int
    write_error: str
    """Why nothing can be written there; empty: it can."""
    settings_error: str
    """Why a peer would not start with the settings there; empty: it would."""
    open_files: int
    firewall: Firewall
    missing_packages: tuple[str, ...]
    proven_at_ms: dict[str, int]
    """By program: when it rendered its proof."""


def ok(check: str, text: str) -> Finding:
    """Say that something is well."""
    return Finding(check=check, verdict=Verdict.OK, text=text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """Say that something may not be well."""
    return Finding(check=check, verdict=Verdict.WARN, text=text, remedy=remedy)


def bad(check: str, text: str, remedy: str) -> Finding:
    """Say that something does not work."""
    return Finding(check=check, verdict=Verdict.BAD, text=text, remedy=remedy)


def system(facts: HostFacts) -> Finding:
    """Say on what all this runs: whoever is asked for help asks for that first."""
    return ok("system", f"{facts.system}, Python {facts.python}")


def peer(facts: HostFacts, status: StatusAnswer | None) -> Finding:
    """Judge whether a peer runs, and may render."""
    if status is None:
        if not facts.member:
            remedy = "meshnode join --new NAME founds a mesh, meshnode join INVITE enters one"
            return bad("peer", "none here yet: it belongs to no mesh", remedy)
        return bad("peer", "no peer is running here", "meshnode join --background")
    mesh = f" in mesh {status['mesh_name']}" if status["mesh_name"] else ""
    if status["draining"]:
        return warn("peer", f"{status['name']}{mesh} is about to stop", "meshnode join starts it again")
    if (pause := status["paused"]) is not None:
        said = words.paused(pause["since_at_ms"], pause["until_at_ms"])
        return warn("peer", f"{status['name']}{mesh} is {said}", "meshnode resume lets it render again")
    others = sum(one["connected"] and not one["me"] for one in status["peers"])
    return ok("peer", f"{status['name']} runs{mesh}, {words.count(others, 'other')} connected")


def membership(status: StatusAnswer) -> Finding:
    """Judge whether it is a member, and how long that lasts: another that may invite renews it while connected."""
    for trouble in (status["thrown_out"], status["cloned"]):
        if trouble:
            # The peer says what is so and, in its last sentence, what to do; the names before that may hold anything.
            text, _, remedy = trouble.rstrip(".").rpartition(". ")
            return bad("membership", text or remedy, remedy)
    left_ms = status["membership_expires_at_ms"] - status["now_at_ms"]
    until = words.moment(status["membership_expires_at_ms"])
    remedy = "connect with a peer that has the role `invite`, which renews it; else meshnode join with a new invite"
    if left_ms <= 0:
        return bad("membership", f"it has expired on {until}", remedy)
    if left_ms < RENEW_BEFORE_MS // 2:
        return warn("membership", f"it expires on {until} and was not renewed", remedy)
    return ok("membership", f"{', '.join(status['roles'])}; until {until}")


def disk(facts: HostFacts) -> Finding:
    """Judge whether there is room in the home, and whether it can be written."""
    if facts.write_error:
        remedy = f"make {facts.home} writable for this user, or choose another place with --home or MESHNODE_HOME"
        return bad("disk", f"{facts.home} cannot be written: {facts.write_error}", remedy)
    text = f"{words.size(facts.free_bytes)} free in {facts.home}"
    remedy = "free some space there, or move the peer's directory to a larger disk and name it with MESHNODE_HOME"
    if facts.free_bytes < FREE_BAD_BYTES:
        return bad("disk", text, remedy)
    if facts.free_bytes < FREE_WARN_BYTES:
        return warn("disk", text, remedy)
    return ok("disk", text)


def settings(facts: HostFacts) -> Finding:
    """Judge whether a peer would start with what its config.toml says."""
    if facts.settings_error:
        return bad("settings", facts.settings_error, "correct it there: without that no peer starts in this directory")
    return ok("settings", "config.toml can be read")


def files(facts: HostFacts, status: StatusAnswer | None) -> Finding:
    """Judge how many files and connections the peer may have open."""
    others = len(status["peers"]) - 1 if status is not None else 0
    needed = FILES_LEAST + FILES_PER_PEER * others
    text = f"up to {facts.open_files} at a time; {needed} are wanted"
    remedy = f"ulimit -n {4 * needed} before meshnode join; as a service: LimitNOFILE={4 * needed}"
    return ok("open files", text) if facts.open_files >= needed else bad("open files", text, remedy)


def engines(facts: HostFacts, found: EnginesAnswer) -> list[Finding]:
    """Judge what renders here: each engine that was found, and what the embedded one would need."""
    install = "meshnode engine install blender"
    packages = " ".join(facts.missing_packages)
    apt = f"sudo apt-get install -y {packages}"
    told = []
    for one in found["usable"]:
        at_ms = facts.proven_at_ms.get(one["program"], 0)
        when = f", proven {words.moment(at_ms)}" if at_ms else ", proven"
        text = f"{one['name']} {one['version']}{when} by a tiny render ({', '.join(one['renders'])})"
        told.append(ok("engine", text))
    for broken in found["broken"]:
        text = f"{broken['name']} at {broken['program']} cannot be used: {broken['reason']}"
        judge = warn if found["usable"] else bad
        told.append(judge("engine", text, apt if packages else f"meshnode engine list looks again; {install}"))
    if not told:
        told.append(warn("engine", "nothing here can render", f"{apt} && {install}" if packages else install))
    elif packages and not found["broken"]:
        told.append(warn("libraries", f"Blender's module would miss {packages}", apt))
    return told


def port_of(status: StatusAnswer) -> int:
    """Return the port that the peer listens on."""
    return int(status["addresses"][0].rpartition(":")[2]) if status["addresses"] else 0


def listening(status: StatusAnswer, answers: dict[str, str]) -> Finding:
    """Judge whether the peer's own port answers on this host: by address, why it does not; empty where it does."""
    fine = [address for address, error in answers.items() if not error]
    if not fine:
        why = next(iter(answers.values()), "it listens nowhere")
        return bad("listening", f"port {port_of(status)} does not answer even here: {why}", _AGAIN)
    if all(_is_here(address) for address in fine):
        return warn("listening", f"{', '.join(fine)}: this machine alone", "meshnode stop, then join without --listen")
    return ok("listening", ", ".join(fine))


_AGAIN: Final = "meshnode stop, then meshnode join; peer.log in its directory tells more"


def _is_here(address: str) -> bool:
    return address.startswith(("127.", "[::1]", "localhost:"))


def reach(facts: HostFacts, status: StatusAnswer, found: ReachAnswer) -> Finding:
    """Judge whether others can open connections to this peer, by what those say who were asked to try."""
    port = port_of(status)
    if not any(one["connected"] and not one["me"] for one in status["peers"]):
        remedy = f"start another peer, or see that it knows of this one: --peer HOST:{port}"
        return warn("reach", "no other peer is connected, so nobody could try to reach this one", remedy)
    tries = [(report["name"], tried) for report in found["reports"] for tried in report["tried"]]
    if not tries:
        silent = f"; no answer from {', '.join(found['silent'])}" if found["silent"] else ""
        return warn("reach", f"nobody had the time to try{silent}", "try again in ten seconds")
    reached = sorted({f"{name} at {tried['address']}" for name, tried in tries if tried["outcome"] == "reached"})
    if reached:
        return ok("reach", f"reached by {', '.join(reached)}")
    who = ", ".join(sorted({name for name, _ in tries}))
    text = f"{who} cannot open a connection to this peer: {_outcomes([tried for _, tried in tries])}"
    return bad("reach", text, open_port(facts.firewall, port, facts.program))


def beacon(facts: HostFacts, status: StatusAnswer) -> Finding:
    """Judge whether this peer calls on its local network, and hears others there."""
    row, now_ms = status["beacon"], status["now_at_ms"]
    others = [one for one in status["peers"] if one["connected"] and not one["me"]]
    if not row["on"]:
        text = "off: peers that know no address of each other do not meet"
        remedy = (
            "meshnode stop, then join without --no-beacon; beacon = true in config.toml; or name a peer with --peer"
        )
        return ok("beacon", text) if others else warn("beacon", text, remedy)
    let_in = open_port(facts.firewall, row["port"], facts.program, "udp")
    if row["faults"]:
        remedy = f"see that no other program keeps UDP port {row['port']} to itself, and that it is let out; {let_in}"
        return (warn if others else bad)("beacon", "; ".join(row["faults"]), remedy)
    heard_ms = row["heard_at_ms"]
    silent_ms = max(0, now_ms - (row["since_at_ms"] if heard_ms is None else heard_ms))
    text = f"nobody else's was heard on this network in {words.span(silent_ms)}"
    near = sorted(words.called(one["name"], one["id"]) for one in others if _is_near(status, one))
    if near and silent_ms > 2 * max(REDIAL_MOST_MS, PROBE_PER_PEER_MS * len(status["peers"])):
        remedy = f"unless theirs is off: here, and there, {let_in}"
        return warn("beacon", f"{text}, where {', '.join(near)} should be heard", remedy)
    if heard_ms is not None:
        return ok(
            "beacon", f"heard another peer's on this network {words.span(silent_ms)} ago, by UDP port {row['port']}"
        )
    if others:
        return ok("beacon", text)
    return warn("beacon", text, f"start another peer on it; where one runs, {let_in}")


def _is_near(status: StatusAnswer, row: PeerRow) -> bool:
    """Say whether another peer is probably on a local network that this host is on too."""
    own, its = (
        [address.rpartition(":")[0].strip("[]") for address in addresses if not _is_here(address)]
        for addresses in (status["addresses"], row["addresses"])
    )
    return any(same_network(one, other) for one in own for other in its)


def _outcomes(tried: Sequence[TriedRow]) -> str:
    """Say what came of each address, once."""
    said = {"reached": "answers", "refused": "refuses", "silent": "stays silent", "no way": "leads nowhere"}
    return ", ".join(dict.fromkeys(f"{one['address']} {said[one['outcome']]}" for one in tried))


def clock(facts: HostFacts, found: ReachAnswer) -> Finding:
    """Judge this host's clock by the median of others', whose own may be wrong."""
    remedy = f"set both clocks by the network; here: {_SET_CLOCK.get(facts.system.partition(' ')[0], _SET_BY_HAND)}"
    if not found["reports"]:
        return warn("clock", "no other peer told the time", "compare it with another machine's")
    ahead_ms = round(median(report["ahead_ms"] for report in found["reports"]))
    way = "behind" if ahead_ms > 0 else "ahead of"
    others = ", ".join(report["name"] for report in found["reports"])
    text = f"{words.span(abs(ahead_ms))} {way} {others}" if abs(ahead_ms) >= 1_000 else f"within a second of {others}"
    if abs(ahead_ms) > CLOCK_BAD_MS:
        return bad("clock", f"{text}; over {words.span(CLOCK_BAD_MS)} peers refuse each other's marks", remedy)
    if abs(ahead_ms) > CLOCK_WARN_MS:
        return warn("clock", f"{text}; more than {words.span(CLOCK_WARN_MS)}", remedy)
    return ok("clock", text)


_SET_BY_HAND: Final = "in the system's settings of date and time, automatically"
_SET_CLOCK: Final = {"Linux": "sudo timedatectl set-ntp true", "Windows": "w32tm /resync, as an administrator"}


def there(row: PeerRow) -> Finding:
    """Judge how another peer stands as seen from here."""
    name = words.called(row["name"], row["id"])
    if row["revoked"]:
        remedy = "meshnode members tells by whom; it may come back by a new invite, in a new --home"
        return bad(name, "it was revoked: no member talks to it", remedy)
    if not row["connected"]:
        return bad(name, "no connection", f"on that host: meshnode status; where no peer runs, {_JOIN}")
    if row["draining"] or row["paused"]:
        state = "about to stop" if row["draining"] else "paused by its owner"
        return warn(name, f"connected, {state}", "on that host: meshnode resume, or join once it has stopped")
    ping = "" if row["round_trip_ms"] is None else f", {row['round_trip_ms']} ms away"
    return ok(name, f"connected{ping}, {words.count(row['slots'], 'slot')}")


_JOIN: Final = "meshnode join --background"


def way_there(found: ReachAnswer) -> Finding:
    """Judge whether another peer can be dialled from here."""
    name, tried = found["peer_name"], found["tried"]
    reached = [one["address"] for one in tried if one["outcome"] == "reached"]
    if reached:
        return ok("way there", f"{name} answers at {', '.join(reached)}")
    if not tried:
        remedy = f"on this host: meshnode join --peer HOST:PORT, as {name} lists it under `listening`"
        return bad("way there", f"no address of {name} is known here", remedy)
    outcomes = {one["outcome"] for one in tried}
    if "refused" in outcomes:
        remedy = f"its host answers, but no peer listens: there, {_JOIN}"
    elif "silent" in outcomes:
        remedy = "its host is off, or a firewall drops what comes: there, meshnode doctor names the port to open"
    else:
        remedy = "this host has no way to those addresses: look at its network, or at a VPN that is not up"
    judge = warn if found["connected"] else bad
    one_way = "; it reaches this one, which suffices" if found["connected"] else ""
    return judge("way there", f"{name} cannot be dialled: {_outcomes(tried)}{one_way}", remedy)


def way_back(facts: HostFacts, status: StatusAnswer, found: ReachAnswer) -> Finding:
    """Judge whether another peer can dial this one."""
    name = found["peer_name"]
    report = next((one for one in found["reports"] if one["id"] == found["peer"]), None)
    if report is None:
        text = f"{name} did not answer" if found["connected"] else f"{name} cannot be asked: it is not connected"
        return warn("way back", text, f"on its host: meshnode doctor {status['name']}")
    reached = [one["address"] for one in report["tried"] if one["outcome"] == "reached"]
    if reached:
        return ok("way back", f"{name} reaches this peer at {', '.join(reached)}")
    if not report["tried"]:
        return warn("way back", f"{name} had not the time to try", "try again in ten seconds")
    text = f"{name} cannot dial this peer: {_outcomes(report['tried'])}"
    judge = warn if any(one["outcome"] == "reached" for one in found["tried"]) else bad
    return judge("way back", text, open_port(facts.firewall, port_of(status), facts.program))


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the gravest verdict."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.OK)
