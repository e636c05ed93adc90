"""Which firewall a host has, by what is found on it, and what its owner types to let peers in.

Nothing here is run: to ask a firewall takes an administrator's rights, and to change one his decision. So these are
hints, chosen by the traces that the usual programs leave where anybody can read them. Pure but for the looking.
"""

import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Literal

ADMINISTRATORS = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Where an administrator's programs lie, which are not on every user's PATH."""


class Firewall(Enum):
    """What decides on this host who may connect."""

    UFW = "ufw"
    FIREWALLD = "firewalld"
    NFTABLES = "nftables"
    IPTABLES = "iptables"
    MACOS = "the firewall of macOS"
    WINDOWS = "the Windows firewall"
    UNKNOWN = "no firewall that is known here"


def on_path(program: str) -> bool:
    """Say whether an administrator would find a program here."""
    return shutil.which(program) is not None or shutil.which(program, path=ADMINISTRATORS) is not None


def look(platform: str, root: Path = Path("/"), found: Callable[[str], bool] = on_path) -> Firewall:
    """Return the firewall of a host, the one that is switched on before one that is merely installed."""
    if platform == "darwin":
        return Firewall.MACOS
    if platform == "win32":
        return Firewall.WINDOWS
    if _enabled(root / "etc/ufw/ufw.conf"):
        return Firewall.UFW
    if (root / "run/firewalld").exists() or (root / "run/firewalld.pid").exists():
        return Firewall.FIREWALLD
    if found("nft"):
        return Firewall.NFTABLES
    return Firewall.IPTABLES if found("iptables") else Firewall.UNKNOWN


def _enabled(path: Path) -> bool:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(line.strip().lower() == "enabled=yes" for line in lines)


def open_port(firewall: Firewall, port: int, program: str, protocol: Literal["tcp", "udp"] = "tcp") -> str:
    """Say how to let what others send to `port` in here, which `program` listens on."""
    match firewall:
        case Firewall.UFW:
            return f"let others in: sudo ufw allow {port}/{protocol}"
        case Firewall.FIREWALLD:
            add = f"sudo firewall-cmd --permanent --add-port={port}/{protocol}"
            return f"let others in: {add} && sudo firewall-cmd --reload"
        case Firewall.NFTABLES:
            return (
                "nft is here: sudo nft list ruleset shows what drops it; with the usual names, let others in by "
                f"sudo nft insert rule inet filter input {protocol} dport {port} accept"
            )
        case Firewall.IPTABLES:
            return f"let others in: sudo iptables -I INPUT -p {protocol} --dport {port} -j ACCEPT"
        case Firewall.MACOS:
            tool = "sudo /usr/libexec/ApplicationFirewall/socketfilterfw"
            return f"let others in: {tool} --add {program} && {tool} --unblockapp {program}"
        case Firewall.WINDOWS:
            to = f"-Protocol {protocol.upper()} -LocalPort {port}"
            rule = f"New-NetFirewallRule -DisplayName meshnode -Direction Inbound {to} -Action Allow"
            return f"let others in, in a PowerShell of an administrator: {rule}"
        case Firewall.UNKNOWN:
            between = f"{protocol.upper()} port {port}"
            return f"no firewall is found here: look at the router or the cloud's rules between, for {between}"
