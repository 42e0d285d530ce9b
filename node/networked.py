"""Puts the network together for app.py: peers over HTTP, membership, proof of identity. Decides nothing."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

from node.adapters.keys import recover
from node.adapters.peers import HttpPeers, PeerSettings
from node.adapters.peers.certificate import CertificateFile
from node.api.peer import PeerServices
from node.core.endpoints import EndpointRules
from node.core.hashing import Domain
from node.core.types import Address
from node.ports.basics import Clock, Signer
from node.ports.network import ProviderBook
from node.services.identity import Prover
from node.services.membership import MembershipParts, MembershipService
from node.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NetworkBasis:
    """Who we are among nodes, and where the registry is read."""

    me: Address
    domain: Domain
    signer: Signer
    clock: Clock
    book: ProviderBook


@dataclass(frozen=True, slots=True)
class Network:
    """The other nodes. `membership.refresh` must run from time to time; `close` says goodbye."""

    peers: HttpPeers
    membership: MembershipService
    services: PeerServices

    async def close(self) -> None:
        """Leave, then drop the connections."""
        await self.membership.stop()
        self.peers.close()


def build_network(settings: Settings, basis: NetworkBasis, watch: Callable[..., None] | None = None) -> Network:
    """See module. Raises BadConfig for a certificate file that is none. `watch`: metrics.watch_membership."""
    if settings.private_network:
        log.warning("private_network: peers may name any address, so anybody registered can reach what this host can")
    rules = EndpointRules(is_private=settings.private_network, ports=frozenset(settings.peer_ports))
    certificate = CertificateFile(settings.tls_certificate)
    peers = HttpPeers(PeerSettings(rules), basis.domain, recover)
    membership = MembershipService(
        MembershipParts(
            me=basis.me,
            domain=basis.domain,
            signer=basis.signer,
            recover=recover,
            clock=basis.clock,
            peers=peers,
            book=basis.book,
            dice=SystemRandom(),
        )
    )
    if watch is not None:
        watch(membership.tally, lambda: membership.members().values())
    prover = Prover(basis.me, basis.domain, basis.signer, certificate.read)
    return Network(peers, membership, PeerServices(membership, prover))
