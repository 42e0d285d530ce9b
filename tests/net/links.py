"""Who opened connections to us on this host: the process, by the port it came from. Linux; only tests ask."""

from collections.abc import Collection
from pathlib import Path

LOOPBACK = "0100007F"
"""127.0.0.1 as /proc writes it."""


def inodes_of(ports: Collection[int], table: Path = Path("/proc/net/tcp")) -> dict[str, int]:
    """The sockets that are bound to these loopback ports and connected -> port. One reading for all: it is dear."""
    wanted = {f"{LOOPBACK}:{port:04X}": port for port in ports}
    rows = (line.split(None, 10) for line in table.read_text(encoding="ascii").splitlines()[1:])
    return {fields[9]: wanted[fields[1]] for fields in rows if fields[1] in wanted and fields[9] != "0"}


def sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds open."""
    try:
        targets = [_target(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()
    return {target[8:-1] for target in targets if target.startswith("socket:[")}


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""


def whose(ports: Collection[int], pids: dict[str, int]) -> dict[int, str]:
    """port -> the name of the process that connects from it; ports of others are left out."""
    inodes = inodes_of(ports)
    return {inodes[inode]: name for name, pid in pids.items() for inode in sockets_of(pid) & inodes.keys()}
