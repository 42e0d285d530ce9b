"""Who opened a connection to us on this host: the process, by the port it came from. Linux; only tests ask."""

from pathlib import Path

LOOPBACK = "0100007F"
"""127.0.0.1 as /proc writes it."""


def inode_of(port: int, table: Path = Path("/proc/net/tcp")) -> str:
    """The socket that is bound to a loopback port and connected; "" when there is none."""
    wanted = f"{LOOPBACK}:{port:04X}"
    for line in table.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[9] != "0":
            return fields[9]
    return ""


def has_socket(pid: int, inode: str) -> bool:
    """Whether a process holds that socket open."""
    folder = Path(f"/proc/{pid}/fd")
    wanted = f"socket:[{inode}]"
    try:
        return any(_target(entry) == wanted for entry in folder.iterdir())
    except OSError:
        return False


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""


def whose(port: int, pids: dict[str, int]) -> str:
    """The name of the process that connects from a port; "" for somebody else's."""
    inode = inode_of(port)
    if not inode:
        return ""
    return next((name for name, pid in pids.items() if has_socket(pid, inode)), "")
