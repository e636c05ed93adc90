"""What a person may set for one peer: values only, read and checked by the store's home, passed down as an argument."""

from dataclasses import dataclass

from mesh.ground.limits import EVERYBODY

SETTINGS_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One peer's settings, with the defaults that suit a desk machine."""

    version: int = SETTINGS_VERSION
    """Layout of the file; a newer one than this program knows is refused."""
    name: str = ""
    """What people see instead of the peer's id; empty: the host's name."""
    listen_host: str = ""
    """Address to accept channels on; empty: all, IPv4 and IPv6."""
    listen_port: int = 0
    """TCP port for channels and UDP port for datagrams; 0: drawn once at the first start and then kept."""
    beacon: bool = True
    """Whether to call on the local network for peers of this mesh, and to listen to their calls."""
    everybody: int = EVERYBODY
    """Peers up to which this one keeps a channel with each; in a larger mesh with some of them. 4 is the least."""
    slots: int = 1
    """Renders at a time on this host; 0: submit and keep only."""
    memory_limit_mb: int = 0
    """Ceiling of one renderer's memory in MiB; 0: nine tenths of the machine's, divided by the slots."""
    engine_threads: int = 0
    """Threads of one renderer; 0: all processors, divided by the slots."""
    engine_silence_s: int = 60
    """Seconds in which a renderer neither reports progress nor computes before it counts as hung and is killed."""
    store_quota_gb: int = 0
    """How much the blob store may hold, in GiB; 0: all but the last 64 MiB of the disk, cache making way earlier."""
