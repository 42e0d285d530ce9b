"""The protocol's constants, all in one place. Nothing here depends on the network's size but the two logarithms."""

from dataclasses import dataclass
from math import ceil, log10


@dataclass(frozen=True, slots=True)
class SwimSettings:
    """Times in seconds. The defaults take a silent node out of 100 nodes' candidate sets within 5 s (docs/network.md).

    A WAN probe on a new TLS connection takes three round trips, hence the half second before helpers are asked.
    """

    probe_every: float = 0.25
    direct_seconds: float = 0.5
    """After so long without an answer the helpers are asked as well; the direct probe may still answer."""
    probe_seconds: float = 1.3
    """A probe that nobody has confirmed by then has failed."""
    relay_seconds: float = 0.6
    """How long a helper waits for the member it was asked to probe."""
    helpers: int = 3
    suspicion_seconds: float = 0.45
    """Times log10 of the network's size: how long a suspicion stands before it counts as death."""
    gossip_every: float = 0.1
    fanout: int = 3
    sync_every: float = 10.0
    """One page of everybody's state from one random member: repairs what gossip lost."""
    join_every: float = 0.5
    """Until a first sync has ended, a new member is asked so often."""
    sync_page: int = 100
    lost_every: int = 8
    """Each so many probes, one goes to a member believed dead or never heard of."""
    max_packet_bytes: int = 1_400
    """One segment. A sync page may be longer: see packets.MAX_PAGE_BYTES."""
    relayed_bids: int = 2
    """Standing bids of others in a packet, if there is room."""
    quiet_above: int = 3
    """With this much evidence that it is this node that is cut off, it doubts others but accuses nobody."""
    reprobe_seconds: float = 1.0
    """A member that failed us is probed again so often, at first; then less and less often."""

    def suspicion_of(self, size: int) -> float:
        """How long a suspicion stands in a network of this size."""
        return self.suspicion_seconds * max(1.0, log10(max(size, 1)))

    def copies_of(self, size: int) -> int:
        """How often one node pushes a rumour: three a round, one round a digit of the size."""
        return self.fanout * max(1, ceil(log10(max(size, 1))))
