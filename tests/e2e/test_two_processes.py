"""One provider as two processes behind one address, with one PostgreSQL: they share lanes, settle, and die singly."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.cli.devmarket.market import Market, Provider
from node.cli.devmarket.processes import Child, answers_ok, free_port, wait_until
from tests.e2e.recovery_market import ask, running_market
from tests.fakes.balancer import Balancer, balanced
from tests.fakes.postgres import NoPostgresError, fresh_database, postgres_server

pytestmark = pytest.mark.timeout(600)
CALLERS = 4


@pytest.fixture
def database() -> Iterator[str]:
    try:
        with postgres_server() as server, fresh_database(server) as url:
            yield url
    except NoPostgresError as exc:
        pytest.skip(str(exc))


def start_worker(market: Market, provider: Provider, database: str, port: int) -> Child:
    child = market.launch_provider(provider, "--database", database, "--port", str(port), name=f"worker-{port}")
    wait_until(child, answers_ok(f"http://127.0.0.1:{port}/readyz"), 120)
    return child


def buy_many(market: Market, words: str, count: int) -> int:
    """How many were answered and paid."""
    with ThreadPoolExecutor(CALLERS) as pool:
        replies = pool.map(lambda number: ask(market, f"{words} {number}"), range(count))
        return sum(reply.status_code == 200 for reply in replies)


def both_have_served(balancer: Balancer, ports: list[int]) -> bool:
    return all(balancer.taken[port] for port in ports)


def test_two_processes__one_database__one_lane_one_killed__the_auditor_is_clean(tmp_path: Path, database: str) -> None:
    with running_market(tmp_path) as market:
        (provider,) = market.providers
        ports = [free_port(), free_port()]
        first, _ = [start_worker(market, provider, database, port) for port in ports]
        with balanced(provider.port, ports) as balancer:
            market.prepay()
            gateway = market.start_gateway()
            market.await_cover(*(f"http://127.0.0.1:{port}" for port in ports))
            paid = buy_many(market, "both", 24)
            assert paid == 24
            assert both_have_served(balancer, ports)

            with ThreadPoolExecutor(1) as pool:
                loading = pool.submit(buy_many, market, "one dies", 24)
                first.kill()
                paid += loading.result()
            paid += buy_many(market, "one is left", 8)
            start_worker(market, provider, database, ports[0])
            again = buy_many(market, "both again", 16)
            assert again == 16
            wait_until(gateway, lambda: market.audit()["counts"]["receipts"] >= paid + again, 120)
            settled = len(market.settlements())
            assert settled
            assert buy_many(market, "to be settled", 4) == 4
            wait_until(gateway, lambda: len(market.settlements()) > settled, 120)
            audit = market.audit()
            assert audit["findings"] == []
            assert audit["counts"]["violations"] == 0
            assert audit["counts"]["receipts"] >= paid + again + 4
