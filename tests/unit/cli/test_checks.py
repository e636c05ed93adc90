"""The doctor's judgements: from facts to verdicts, each that is not ok with a remedy for the system at hand."""

from pathlib import Path
from typing import Any

import pytest

from mesh.cli import checks
from mesh.cli.checks import Finding, HostFacts, NotWell, Verdict
from mesh.cli.commands import doctor
from mesh.cli.compose import host
from mesh.cli.firewall import Firewall, look, open_port
from mesh.ground.errors import UsageError
from mesh.ground.ids import MeshId, PeerId
from mesh.ground.instants import DAY_MS, HOUR_MS, WallTime
from mesh.node import roster
from mesh.ports.desk import StatusAnswer
from mesh.ports.enginerows import EnginesAnswer
from mesh.ports.owner import BeaconRow, PauseRow, ReachAnswer, ReportRow, TriedRow
from mesh.ports.storage import StorageError
from mesh.store.home import Home
from mesh.wire.envelope import Signed, sign
from mesh.wire.messages import Address
from mesh.wire.revocations import PeerRevoked, Revocation
from mesh.wire.signing import Ed25519Signer
from sim.memberrows import ME, OTHER, peer_row

NOW_MS = 1_790_000_000_000
OK, WARN, BAD = Verdict.OK, Verdict.WARN, Verdict.BAD
PORT = 40_001


def facts(**changed: Any) -> HostFacts:
    plain: dict[str, Any] = {
        "system": "Linux 6.1",
        "python": "3.11.2",
        "program": "/usr/bin/python3.11",
        "home": "/home/ann/mesh",
        "member": True,
        "free_bytes": 50 << 30,
        "write_error": "",
        "settings_error": "",
        "open_files": 1_024,
        "firewall": Firewall.NFTABLES,
        "missing_packages": (),
        "proven_at_ms": {},
    }
    return HostFacts(**plain | changed)


def beacon_row(**changed: Any) -> BeaconRow:
    plain = BeaconRow(on=True, port=47_877, since_at_ms=NOW_MS - HOUR_MS, heard_at_ms=NOW_MS - 4_000, faults=[])
    return BeaconRow(**{**plain, **changed})  # type: ignore[typeddict-item]


def status(**changed: Any) -> StatusAnswer:
    plain = StatusAnswer(
        version="0.1.0",
        id=ME,
        name="desk",
        mesh="c3" * 32,
        mesh_name="films",
        home="/home/ann/mesh",
        roles=["render", "submit", "invite"],
        membership_expires_at_ms=NOW_MS + 30 * DAY_MS,
        now_at_ms=NOW_MS,
        draining=False,
        handing_over=0,
        paused=None,
        addresses=[f"192.168.1.5:{PORT}"],
        beacon=beacon_row(),
        stored_bytes=0,
        store={"quota_bytes": 0, "full": False, "no_room": []},
        free_bytes=1,
        peers=[peer_row(), peer_row(OTHER, "studio", me=False)],
        jobs=[],
        renders=[],
        cloned="",
        thrown_out="",
        given_up=0,
    )
    return StatusAnswer(**{**plain, **changed})  # type: ignore[typeddict-item]


def tried(outcome: Any, address: str = f"192.168.1.5:{PORT}") -> TriedRow:
    return TriedRow(address=address, outcome=outcome)


def report(*outcomes: str, ahead_ms: int = 0, name: str = "studio") -> ReportRow:
    return ReportRow(id=OTHER, name=name, ahead_ms=ahead_ms, tried=[tried(outcome) for outcome in outcomes])


def reach(*reports: ReportRow, **changed: Any) -> ReachAnswer:
    plain = ReachAnswer(peer=OTHER, peer_name="studio", connected=True, tried=[], reports=list(reports), silent=[])
    return ReachAnswer(**{**plain, **changed})  # type: ignore[typeddict-item]


PEER = PeerId(bytes.fromhex(ME))


def revocation(what: PeerRevoked) -> Signed[Revocation]:
    body = Revocation(mesh=MeshId(bytes(32)), by=(), what=what, said=WallTime(0), by_name="Dr. Ada", name="desk")
    return sign(body, Ed25519Signer(bytes(32)))


def judged(finding: Finding, verdict: Verdict, *words: str) -> None:
    """Check a verdict, that its words are in the text or the remedy, and that it has a remedy unless all is well."""
    assert finding.verdict is verdict, finding
    assert bool(finding.remedy) == (verdict is not OK), finding
    for word in words:
        assert word in f"{finding.text} {finding.remedy}", finding


def test_a_peer_that_runs() -> None:
    judged(checks.peer(facts(), status()), OK, "desk runs in mesh films, 1 other connected")
    judged(checks.peer(facts(), None), BAD, "meshnode join --background")
    judged(checks.peer(facts(member=False), None), BAD, "meshnode join --new", "meshnode join INVITE")
    judged(checks.peer(facts(), status(draining=True)), WARN, "about to stop")
    pause = PauseRow(since_at_ms=NOW_MS, until_at_ms=NOW_MS + HOUR_MS)
    judged(checks.peer(facts(), status(paused=pause)), WARN, "paused since", "until", "meshnode resume")


@pytest.mark.parametrize(("left_ms", "verdict"), [(30 * DAY_MS, OK), (4 * DAY_MS, WARN), (0, BAD), (-DAY_MS, BAD)])
def test_membership_is_renewed_by_itself_or_something_is_wrong(left_ms: int, verdict: Verdict) -> None:
    finding = checks.membership(status(membership_expires_at_ms=NOW_MS + left_ms))
    judged(finding, verdict, *([] if verdict is OK else ["role `invite`"]))


def test_one_that_was_thrown_out_or_copied_has_no_membership_to_speak_of() -> None:
    out = roster.why_out(revocation(PeerRevoked(peer=PEER, spared=(), strike=False)), PEER, [])
    finding = checks.membership(status(thrown_out=out, membership_expires_at_ms=NOW_MS - DAY_MS))
    judged(finding, BAD, "this peer was revoked by Dr. Ada")
    assert finding.remedy == "It may come back by a new invite, under another --home"
    finding = checks.membership(status(cloned=roster.why_cloned(Address(host="192.168.1.9", port=7))))
    judged(finding, BAD, "192.168.1.9:7", "a copy of its disk runs")
    assert finding.remedy.startswith("Stop one, remove its directory")


@pytest.mark.parametrize(
    ("changed", "verdict", "words"),
    [
        ({}, OK, "50.0 GiB free"),
        ({"free_bytes": 4 << 30}, WARN, "free some space"),
        ({"free_bytes": 100 << 20}, BAD, "free some space"),
        ({"write_error": "Permission denied"}, BAD, "writable"),
    ],
)
def test_disk(changed: dict[str, Any], verdict: Verdict, words: str) -> None:
    judged(checks.disk(facts(**changed)), verdict, words)


def test_settings() -> None:
    judged(checks.settings(facts()), OK)
    judged(checks.settings(facts(settings_error="there is no setting `slotz`")), BAD, "slotz", "correct it")


@pytest.mark.parametrize("text", ["slotz = 3", 'slots = "three"', "listen_port = 70000", "slots ="])
def test_the_doctor_says_of_a_setting_what_the_start_says(text: str, tmp_path: Path) -> None:
    assert host.settings_error(tmp_path) == ""
    assert list(tmp_path.iterdir()) == [], "nothing is changed"
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        Home(tmp_path)
    assert host.settings_error(tmp_path) == str(refused.value)


def test_a_home_that_is_a_file_is_named_at_the_start_and_by_the_doctor(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (file, file / "below"):
        with pytest.raises(StorageError, match="file: it is no directory"):
            Home(home)
        assert host.write_error(home) == "it is no directory"
        assert host.settings_error(home) == ""


def test_open_files_grow_with_the_mesh() -> None:
    judged(checks.files(facts(open_files=256), None), OK)
    judged(checks.files(facts(open_files=255), None), BAD, "ulimit -n", "LimitNOFILE=")
    crowd = status(peers=[peer_row(f"{number:02x}" * 32) for number in range(250)])
    judged(checks.files(facts(), crowd), BAD, "1252")


def engines(*, usable: bool = True, broken: bool = False) -> EnginesAnswer:
    return EnginesAnswer(
        usable=[{"name": "blender", "version": "4.2.23", "build": "a1", "program": "/c/python", "renders": ["CYCLES"]}]
        * usable,
        broken=[{"name": "blender", "program": "/usr/bin/blender", "reason": "libGL.so.1: cannot open"}] * broken,
    )


def test_engines_say_when_they_were_proven_and_what_they_lack() -> None:
    (fine,) = checks.engines(facts(proven_at_ms={"/c/python": NOW_MS}), engines())
    judged(fine, OK, "4.2.23", "proven 20", "CYCLES")
    (fine,) = checks.engines(facts(), engines())
    judged(fine, OK, "proven by a tiny render")
    (none,) = checks.engines(facts(), engines(usable=False))
    judged(none, WARN, "meshnode engine install blender")
    lacking = facts(missing_packages=("libgl1", "libsm6"))
    (none,) = checks.engines(lacking, engines(usable=False))
    judged(none, WARN, "sudo apt-get install -y libgl1 libsm6 && meshnode engine install blender")
    (broken,) = checks.engines(lacking, engines(usable=False, broken=True))
    judged(broken, BAD, "libGL.so.1", "sudo apt-get install -y libgl1 libsm6")
    fine, broken = checks.engines(facts(), engines(broken=True))
    judged(broken, WARN, "meshnode engine list")
    fine, libraries = checks.engines(lacking, engines())
    judged(libraries, WARN, "libgl1 libsm6")


def test_listening() -> None:
    lan, here = f"192.168.1.5:{PORT}", f"127.0.0.1:{PORT}"
    judged(checks.listening(status(), {lan: "", here: "Connection refused"}), OK, lan)
    judged(checks.listening(status(), {here: ""}), WARN, "this machine alone", "--listen")
    judged(checks.listening(status(), {lan: "Connection refused"}), BAD, str(PORT), "refused", "meshnode stop")
    judged(checks.listening(status(addresses=[]), {}), BAD, "listens nowhere")


def test_reach_is_what_others_say() -> None:
    judged(checks.reach(facts(), status(), reach(report("silent", "reached"))), OK, "studio at 192.168.1.5:40001")
    alone = status(peers=[peer_row()])
    judged(checks.reach(facts(), alone, reach()), WARN, "no other peer", f"--peer HOST:{PORT}")
    judged(checks.reach(facts(), status(), reach(report())), WARN, "try again")
    judged(checks.reach(facts(), status(), reach(silent=["cy"])), WARN, "no answer from cy")
    blocked = reach(report("silent"), report("refused", name="cy"))
    finding = checks.reach(facts(), status(), blocked)
    judged(finding, BAD, "cy, studio cannot", "stays silent", "refuses", f"tcp dport {PORT} accept")


def told_of_beacon(*others: str, **changed: Any) -> Finding:
    peers = [peer_row(), *(peer_row(OTHER, "studio", me=False) | {"addresses": [at]} for at in others)]
    return checks.beacon(facts(firewall=Firewall.UFW), status(beacon=beacon_row(**changed), peers=peers))


def test_a_beacon_that_is_heard_is_well() -> None:
    judged(told_of_beacon(), OK, "heard another peer's", "4.0 s ago", "47877")


def test_a_beacon_that_is_off_matters_to_who_is_alone() -> None:
    judged(told_of_beacon("192.168.1.9:7", on=False, heard_at_ms=None), OK, "off")
    judged(told_of_beacon(on=False, heard_at_ms=None), WARN, "--no-beacon", "beacon = true", "--peer")


def test_a_beacon_that_cannot_be_sent_or_heard_names_the_port() -> None:
    fault = "nothing could be sent: Operation not permitted"
    words = (fault, "UDP port 47877", "ufw allow 47877/udp")
    judged(told_of_beacon("192.168.1.9:7", faults=[fault]), WARN, *words)
    judged(told_of_beacon(faults=[fault]), BAD, *words)


def test_nobody_heard_is_suspicious_where_somebody_is_near() -> None:
    near, far = "192.168.1.9:7", "[2001:db8::9]:7"
    alone = told_of_beacon(heard_at_ms=None)
    judged(alone, WARN, "nobody else's was heard on this network in 1 h", "ufw allow 47877/udp")
    judged(told_of_beacon(far, "127.0.0.1:7", heard_at_ms=None), OK, "nobody else's")
    judged(told_of_beacon(far, near, heard_at_ms=None), WARN, "studio should be heard", "ufw allow 47877/udp")
    judged(told_of_beacon(near, heard_at_ms=None, since_at_ms=NOW_MS - 30_000), OK, "in 30.0 s")
    judged(told_of_beacon(near, heard_at_ms=NOW_MS - HOUR_MS), WARN, "studio should be heard")
    judged(told_of_beacon(far, heard_at_ms=NOW_MS - HOUR_MS), OK, "1 h ago")


@pytest.mark.parametrize(
    ("firewall", "words"),
    [
        (Firewall.UFW, "ufw allow 40001/tcp"),
        (Firewall.FIREWALLD, "firewall-cmd --permanent --add-port=40001/tcp"),
        (Firewall.NFTABLES, "nft insert rule"),
        (Firewall.IPTABLES, "iptables -I INPUT -p tcp --dport 40001"),
        (Firewall.MACOS, "socketfilterfw --add /usr/bin/python3.11"),
        (Firewall.WINDOWS, "New-NetFirewallRule"),
        (Firewall.UNKNOWN, "router"),
    ],
)
def test_each_firewall_has_its_own_remedy(firewall: Firewall, words: str) -> None:
    judged(checks.reach(facts(firewall=firewall), status(), reach(report("silent"))), BAD, words)
    assert words in open_port(firewall, PORT, "/usr/bin/python3.11")
    by_udp = open_port(firewall, PORT, "/usr/bin/python3.11", "udp")
    assert "tcp" not in by_udp.lower()
    assert firewall is Firewall.MACOS or "udp" in by_udp.lower()


def test_the_firewall_that_is_on_goes_before_one_that_is_installed(tmp_path: Path) -> None:
    def there(*programs: str) -> Any:
        return lambda program: program in programs

    assert look("darwin", tmp_path, there()) is Firewall.MACOS
    assert look("win32", tmp_path, there()) is Firewall.WINDOWS
    assert look("linux", tmp_path, there()) is Firewall.UNKNOWN
    assert look("linux", tmp_path, there("iptables")) is Firewall.IPTABLES
    assert look("linux", tmp_path, there("iptables", "nft")) is Firewall.NFTABLES
    ufw = tmp_path / "etc/ufw/ufw.conf"
    ufw.parent.mkdir(parents=True)
    ufw.write_text("# comment\nENABLED=no\n")
    (tmp_path / "run/firewalld").mkdir(parents=True)
    assert look("linux", tmp_path, there("nft")) is Firewall.FIREWALLD
    ufw.write_text("ENABLED=yes\n")
    assert look("linux", tmp_path, there("nft")) is Firewall.UFW


@pytest.mark.parametrize(
    ("ahead_ms", "verdict", "words"),
    [
        ([300], OK, "within a second of studio"),
        ([-40_000], OK, "40.0 s ahead of"),
        ([90_000], WARN, "behind"),
        ([-11 * 60_000], BAD, "ahead of"),
        ([50, 11 * 60_000, 80], OK, "within a second"),
    ],
)
def test_the_clock_is_judged_by_the_one_in_the_middle(ahead_ms: list[int], verdict: Verdict, words: str) -> None:
    found = reach(*(report("reached", ahead_ms=one) for one in ahead_ms))
    judged(checks.clock(facts(), found), verdict, words)


def test_the_clock_has_a_remedy_for_each_system() -> None:
    found = reach(report(ahead_ms=HOUR_MS))
    for system, words in (("Linux 6.1", "timedatectl"), ("Windows 11", "w32tm"), ("Darwin 23.1", "settings")):
        judged(checks.clock(facts(system=system), found), BAD, words)
    judged(checks.clock(facts(), reach()), WARN, "no other peer told the time")


def test_how_another_peer_stands() -> None:
    row = peer_row(OTHER, "studio", me=False)
    judged(checks.there(row), OK, "3 ms away")
    judged(checks.there({**row, "paused": True}), WARN, "paused by its owner")
    judged(checks.there({**row, "draining": True}), WARN, "about to stop")
    judged(checks.there({**row, "connected": False}), BAD, "meshnode join")
    revoked = checks.there({**row, "connected": False, "revoked": True})
    judged(revoked, BAD, "it was revoked", "meshnode members")
    assert "meshnode join" not in revoked.remedy


@pytest.mark.parametrize("state", [{}, {"paused": True}, {"connected": False}])
def test_a_peer_whose_name_nobody_here_knows_is_called_by_its_id(state: dict[str, Any]) -> None:
    row = {**peer_row(OTHER, "", me=False), **state}
    assert checks.there(row).check == OTHER[:8]  # type: ignore[typeddict-item]


def test_the_way_to_another_peer() -> None:
    judged(checks.way_there(reach(tried=[tried("silent"), tried("reached", "10.0.0.7:1")])), OK, "10.0.0.7:1")
    away = {"connected": False}
    judged(checks.way_there(reach(tried=[], **away)), BAD, "--peer HOST:PORT")
    judged(checks.way_there(reach(tried=[tried("refused")], **away)), BAD, "no peer listens")
    judged(checks.way_there(reach(tried=[tried("silent")], **away)), BAD, "firewall")
    judged(checks.way_there(reach(tried=[tried("no way")], **away)), BAD, "VPN")
    judged(checks.way_there(reach(tried=[tried("silent")])), WARN, "which suffices")


def test_the_way_back() -> None:
    judged(checks.way_back(facts(), status(), reach(report("reached"))), OK, f"192.168.1.5:{PORT}")
    judged(checks.way_back(facts(), status(), reach(report())), WARN, "try again")
    judged(checks.way_back(facts(), status(), reach()), WARN, "did not answer", "meshnode doctor desk")
    judged(checks.way_back(facts(), status(), reach(connected=False)), WARN, "not connected")
    judged(checks.way_back(facts(), status(), reach(report("silent"))), BAD, f"dport {PORT}")
    one_way = reach(report("silent"), tried=[tried("reached")])
    judged(checks.way_back(facts(), status(), one_way), WARN, f"dport {PORT}")


def test_the_worst_of_all_counts() -> None:
    fine, odd, sick = checks.ok("a", "b"), checks.warn("a", "b", "c"), checks.bad("a", "b", "c")
    assert checks.worst([]) is OK
    assert checks.worst([fine, odd, fine]) is WARN
    assert checks.worst([odd, sick, fine]) is BAD


def test_what_the_doctor_ends_with_is_said_as_it_is() -> None:
    guide = Path(__file__).parents[3] / "docs/guides/trouble.md"
    for text in (doctor.command.help or "", guide.read_text("utf-8")):
        assert f"with {NotWell.exit_code} if something is bad" in " ".join(text.split())
