"""Membership on the metrics page, and the network's settings."""

from pathlib import Path

import pytest

from node.api.metrics import Metrics
from node.core.errors import BadConfig
from node.core.membership.tally import Dropped, Event, Tally
from node.settings import load_settings
from tests.unit.membership_makers import swim

NEEDED = {"keystore": Path("k"), "password_file": Path("p"), "payee": "0x", "offer": Path("o"), "tokenizer": Path("t")}


def test_metrics__membership__shows_states_drops_and_events() -> None:
    metrics, tally = Metrics(), Tally()
    tally.dropped[Dropped.FORGED] += 3
    tally.events[Event.DIED] += 2
    metrics.watch_membership(tally, lambda: swim(1, 3).members(0.0).values())
    page = metrics.page("")[0].decode()
    assert 'wwwserve_gossip_dropped_total{reason="forged"} 3.0' in page
    assert 'wwwserve_gossip_dropped_total{reason="replayed"} 0.0' in page
    assert 'wwwserve_membership_events_total{event="died"} 2.0' in page
    assert 'wwwserve_members{state="unknown"} 2.0' in page
    assert 'wwwserve_members{state="alive"} 1.0' in page


def test_settings__network__are_safe_by_default_and_read_from_the_environment() -> None:
    plain = load_settings(NEEDED, {})
    assert (plain.private_network, plain.peer_ports, plain.tls_certificate) == (False, (443, 8443), None)
    chosen = load_settings(NEEDED, {"WWWSERVE_PRIVATE_NETWORK": "true", "WWWSERVE_PEER_PORTS": "443, 9000"})
    assert (chosen.private_network, chosen.peer_ports) == (True, (443, 9000))
    with pytest.raises(BadConfig, match="peer_ports"):
        load_settings(NEEDED, {"WWWSERVE_PEER_PORTS": "0"})
