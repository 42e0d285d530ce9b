"""The pay flow against a payee that keeps the protocol, and against payees that do not. Real HTTP on the loopback."""

import asyncio
import json
from dataclasses import replace

import pytest

from node.client.carrier import Carrier, World, run
from node.client.client import AsyncWwwserveClient, WwwserveClient
from node.client.delivery import AnswerCut, PayeeCheated
from node.client.exchange import AlreadyPaid, NodeRefused, OutcomeUnknown
from node.client.over_httpx import HttpxTransport
from node.client.payflow import buy
from node.client.provider import Directory, UntrustedProvider
from node.client.quote import parse_ask
from node.client.store import Wallet, WalletWriter
from node.client.sweep import sweep
from node.client.verify import TOKENS_UNDERWAY
from node.client.wallet import BudgetReached, ExposureBusy, ExposureReached, Limits, PayeeStopped
from node.core.errors import BadConfig, ChainUnavailable, PeerFailed, UnknownModel
from node.core.messages import Receipt
from node.core.types import Amount, Bytes32
from tests.fakes.fake_node import MODEL, FakeChain, FakeNode
from tests.fakes.payers import LIMITS, FakeClock, make_engine, make_payer

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 50}
PROMPT_TOKENS, WORDS = 3, 12
PRICE = PROMPT_TOKENS * 1 + WORDS * 2
MAX_PRICE = PROMPT_TOKENS * 1 + 50 * 2


class Bench:
    """One payer, one wallet, one chain, some nodes."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.chain = FakeChain()
        self.engine = make_engine(folder)
        self.clock = FakeClock()
        self.payer = make_payer(clock=self.clock)
        self.nodes: list[FakeNode] = []
        self.clients: list[AsyncWwwserveClient] = []

    async def node(self, name="node", **members) -> FakeNode:
        node = await FakeNode(self.chain, name, **members).start()
        self.nodes.append(node)
        return node

    def client(self, *nodes, **members) -> AsyncWwwserveClient:
        payer = replace(self.payer, **members)
        client = AsyncWwwserveClient(payer, [n.url for n in nodes], self.engine, self.chain)
        self.clients.append(client)
        return client

    def books(self, action):
        return Wallet(self.engine).run(action)

    @property
    def purse(self):
        (purse,) = self.books(lambda b: b.load_purses())
        return purse

    @property
    def findings(self) -> list[str]:
        return [str(f["code"]) for f in self.books(lambda b: b.load_findings())]


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    for client in bench.clients:
        await client.close()
    for node in bench.nodes:
        await node.stop()
    bench.engine.dispose()


async def stream_text(client, fields=CHAT) -> str:
    return "".join([c["choices"][0]["delta"].get("content", "") async for c in client.stream(fields) if c["choices"]])


async def collect(client, into: list) -> None:
    async for chunk in client.stream(CHAT):
        into.append(chunk)  # noqa: PERF401 -- what came before an error is wanted too


async def until(is_true) -> None:
    while not is_true():  # noqa: ASYNC110 -- the fake's counters announce nothing
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_plain__honest_node__is_answered_paid_and_verified(bench, path):
    node = await bench.node()
    fields = CHAT if "chat" in path else {"model": MODEL, "prompt": "one two three", "max_tokens": 50}
    answer = await bench.client(node).complete(fields, path)
    assert answer.receipt.charge == PRICE == node.charged
    purse = bench.purse
    assert (purse.verified, purse.explained, purse.heard, purse.in_flight) == (PRICE, PRICE, PRICE, 0)
    assert purse.ceiling == MAX_PRICE


async def test_stream__honest_node__passes_everything_on_and_pays(bench):
    node = await bench.node()
    text = await stream_text(bench.client(node))
    assert text.split() == [f"word{i}" for i in range(WORDS)]
    assert bench.purse.verified == PRICE


def test_sync_client__plain_and_stream__are_paid(tmp_path):
    engine, chain = make_engine(tmp_path), FakeChain()

    async def serve(started, stop):
        node = await FakeNode(chain).start()
        started.append(node)
        await asyncio.to_thread(stop.wait)
        await node.stop()

    import threading

    started, stop = [], threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve(started, stop)))
    thread.start()
    while not started:
        stop.wait(0.01)
    try:
        with WwwserveClient(make_payer(), [started[0].url], engine, chain) as client:
            assert client.complete(CHAT).receipt.charge == PRICE
            assert len(list(client.stream(CHAT))) == WORDS + 1
            chunks = client.stream(CHAT)
            next(chunks)
            chunks.close()
            assert client.sweep().failed == 0
    finally:
        stop.set()
        thread.join()


async def test_lane__thirty_two_requests_at_once__all_served_on_one_lane(bench):
    node = await bench.node()
    client = bench.client(node)
    texts = await asyncio.gather(*(stream_text(client) for _ in range(32)))
    assert all(len(text.split()) == WORDS for text in texts)
    assert (bench.purse.verified, bench.purse.in_flight) == (32 * PRICE, 0)
    assert node.charged == 32 * PRICE


async def test_lanes__exposure_of_one_is_full__the_next_lane_pays(bench):
    node = await bench.node()
    node.pause = 0.05
    payer = make_payer(Limits(Amount(MAX_PRICE), Amount(3_000), Amount(10**6)), bench.clock, lanes=2)
    client = bench.client(node, signers=payer.signers, limits=payer.limits)
    await asyncio.gather(client.complete(CHAT), client.complete(CHAT))
    assert len(bench.books(lambda b: b.load_purses())) == 2
    with pytest.raises(ExposureBusy):
        await asyncio.gather(*(client.complete(CHAT) for _ in range(3)))


FRAUDS = {
    "charges_more_than_priced": "wrong_price",
    "charges_more_than_max": "overcharge",
    "inflates_completion": "inflated_completion",
    "inflates_prompt": "inflated_prompt",
    "wrong_hash": "wrong_response_hash",
    "wrong_signer": "wrong_signer",
}


@pytest.mark.parametrize("kind", ["plain", "stream"])
@pytest.mark.parametrize(("fault", "code"), FRAUDS.items())
async def test_receipt__that_proves_a_fraud__stops_paying_and_keeps_the_evidence(bench, kind, fault, code):
    node = await bench.node()
    node.faults = {fault}
    client = bench.client(node)
    with pytest.raises(PayeeCheated, match=code):
        await (client.complete(CHAT) if kind == "plain" else stream_text(client))
    assert bench.findings == [code]
    (finding,) = bench.books(lambda b: b.load_findings())
    assert finding["evidence"]["shown"]["receipt"]["requestId"] == finding["evidence"]["request_id"]
    node.faults = set()
    with pytest.raises(PayeeStopped):
        await client.complete(CHAT)
    assert node.posts == 1


async def test_receipt__running_total_falls_back__is_a_fraud(bench):
    node = await bench.node()
    client = bench.client(node)
    await client.complete(CHAT)
    node.faults = {"wrong_total"}
    with pytest.raises(PayeeCheated, match="wrong_arithmetic"):
        await client.complete(CHAT)


@pytest.mark.parametrize("kind", ["plain", "stream"])
async def test_receipt__not_in_the_answer__is_fetched_by_id(bench, kind):
    node = await bench.node()
    node.faults = {"no_receipt_shown"}
    client = bench.client(node)
    await (client.complete(CHAT) if kind == "plain" else stream_text(client))
    assert bench.purse.verified == PRICE


@pytest.mark.parametrize("kind", ["plain", "stream"])
async def test_receipt__never_shown__answer_is_incomplete_and_exposure_holds(bench, kind):
    node = await bench.node()
    node.faults = {"no_receipt_at_all"}
    client = bench.client(node)
    with pytest.raises(AnswerCut, match="without a receipt"):
        await (client.complete(CHAT) if kind == "plain" else stream_text(client))
    assert (bench.purse.verified, bench.purse.in_flight) == (0, MAX_PRICE)
    bench.clock.at += 241
    await client.sweep()
    assert bench.purse.in_flight == 0
    assert bench.purse.ceiling - bench.purse.verified <= LIMITS.exposure


async def test_sweep__a_payee_that_is_silent__is_asked_once_and_holds_nobody_up(bench):
    silent, honest = await bench.node("silent"), await bench.node("honest")
    for node in (silent, honest, silent, silent):
        node.faults = {"no_receipt_at_all"}
        with pytest.raises(AnswerCut):
            await bench.client(node).complete(CHAT)
    await silent.stop()
    honest.faults = set()
    swept = await bench.client(honest).sweep()
    assert (swept.booked, swept.failed) == (1, 1)


async def test_stream__cut_after_three_words__is_an_error_and_only_what_came_is_verified(bench):
    node = await bench.node()
    node.faults = {"cut_early"}
    client = bench.client(node)
    got = []
    with pytest.raises(AnswerCut):
        await collect(client, got)
    assert len(got) == 3
    await until(lambda: bench.purse.explained)  # the late receipt is fetched after the error
    purse = bench.purse
    assert purse.explained == PRICE == node.charged
    assert purse.verified == PROMPT_TOKENS + 3 * 2
    assert purse.exposed >= PRICE - purse.verified


async def test_stream__payee_that_always_cuts__takes_at_most_the_exposure(bench):
    node = await bench.node()
    node.faults = {"cut_early"}
    limits = Limits(Amount(300), Amount(3_000), Amount(10**6))
    client = bench.client(node, limits=limits)
    for _ in range(40):
        try:
            async for _ in client.stream(CHAT):
                pass
        except ExposureReached:
            await client.sweep()
        except AnswerCut:
            pass
        assert node.ceilings - bench.purse.verified <= limits.exposure
    assert node.posts < 40


async def test_stream__cut_before_the_first_token__is_bought_again_under_a_new_id(bench):
    node = await bench.node()
    node.faults = {"cut_before_first"}
    client = bench.client(node)
    task = asyncio.create_task(stream_text(client))
    await until(lambda: node.posts >= 2)
    node.faults = set()
    assert len((await task).split()) == WORDS
    assert node.charged == PRICE
    assert bench.purse.in_flight == 0


async def test_stream__engine_dies_midway__error_event_comes_through_and_the_part_is_paid(bench):
    node = await bench.node()
    node.faults = {"fails_midway"}
    chunks = [chunk async for chunk in bench.client(node).stream(CHAT)]
    assert chunks[-1]["error"]["code"] == "engine"
    assert bench.purse.verified == PROMPT_TOKENS + 3 * 2


async def test_hang_up__after_some_words__reaches_the_node_and_its_receipt_is_booked(bench):
    node = await bench.node()
    node.pause = 0.03
    client = bench.client(node)
    chunks = client.stream(CHAT)
    await anext(chunks)
    await chunks.aclose()
    await until(lambda: node.hang_ups == 1 and not bench.purse.in_flight)
    assert node.charged == bench.purse.verified == bench.purse.explained > 0
    assert bench.purse.in_flight == 0


async def test_hang_up__payee_claims_far_more_than_came__the_rest_stays_unverified(bench):
    node = await bench.node(words=2000)
    node.offer = replace(node.offer, models=(replace(node.offer.models[0], max_completion=2000),))
    node.faults = {"cut_late"}
    node.pause = 0.002
    client = bench.client(node, limits=Limits(Amount(10**6), Amount(10**6), Amount(10**7)))
    chunks = client.stream({**CHAT, "max_tokens": 2000})
    await anext(chunks)
    served = next(iter(node.requests.values()))
    from node.core.choices import Choice
    from node.core.types import Status

    node._close(served.admission, PROMPT_TOKENS, Choice(0, "w " * 2000, None), Status.CANCELLED)
    await chunks.aclose()
    await until(lambda: not bench.purse.in_flight)
    assert node.charged == PROMPT_TOKENS + 2000 * 2
    assert bench.purse.verified <= PROMPT_TOKENS + (10 + TOKENS_UNDERWAY) * 2


async def test_fail_over__first_provider_is_down__second_answers(bench):
    dead, node = await bench.node("dead"), await bench.node("alive")
    await dead.stop()
    answer = await bench.client(dead, node).complete(CHAT)
    assert answer.url == node.url


@pytest.mark.parametrize("fault", ["draining"])
async def test_fail_over__first_provider_refuses__second_answers_and_nothing_hangs_in_flight(bench, fault):
    first, second = await bench.node("first"), await bench.node("second")
    first.faults = {fault}
    text = await stream_text(bench.client(first, second))
    assert len(text.split()) == WORDS
    assert sum(p.in_flight for p in bench.books(lambda b: b.load_purses())) == 0


async def test_fail_over__cover_used_up__second_answers(bench):
    first, second = await bench.node("first", cover=1), await bench.node("second")
    answer = await bench.client(first, second).complete(CHAT)
    assert answer.url == second.url


async def test_fail_over__plain_request_with_unknown_outcome__is_never_sent_to_another(bench):
    first, second = await bench.node("first"), await bench.node("second")
    first.faults = {"bad_gateway"}
    with pytest.raises(OutcomeUnknown):
        await bench.client(first, second).complete(CHAT)
    assert second.posts == 0
    assert len({k[2] for k in first.requests}) <= 1


async def test_fail_over__cheating_provider_first__is_skipped_next_time(bench):
    first, second = await bench.node("first"), await bench.node("second")
    first.faults = {"wrong_hash"}
    client = bench.client(first, second)
    with pytest.raises(PayeeCheated):
        await client.complete(CHAT)
    assert (await client.complete(CHAT)).url == second.url


async def test_same_id__node_says_in_progress__is_sent_again_and_paid_once(bench):
    node = await bench.node()
    node.faults = {"in_progress_once"}
    await bench.client(node).complete(CHAT)
    assert (node.engine_runs, node.posts) == (1, 2)


async def test_resync__fails_while_an_earlier_send_may_be_served__nobody_else_is_asked(bench):
    node, other = await bench.node("first"), await bench.node("second")
    node.faults = {"in_progress_once", "says_too_low"}
    with pytest.raises(OutcomeUnknown):
        await bench.client(node, other).complete(CHAT)
    assert other.posts == 0


async def test_resync__node_holds_unknown_reservations__ceiling_rises_once_within_exposure(bench):
    node = await bench.node()
    node.reserved_elsewhere = 500
    await bench.client(node).complete(CHAT)
    assert bench.purse.ceiling == MAX_PRICE + 500


async def test_resync__node_lies_about_the_shortfall__exposure_refuses(bench):
    node = await bench.node()
    node.faults = {"says_too_low"}
    with pytest.raises(ExposureReached):
        await bench.client(node).complete(CHAT)
    assert bench.purse.ceiling - bench.purse.verified <= LIMITS.exposure
    assert bench.purse.in_flight == 0


async def test_resync__receipt_for_a_request_never_made__is_a_finding(bench):
    node = await bench.node()
    client = bench.client(node)
    await client.complete(CHAT)
    served = next(iter(node.requests.values()))
    false = node._receipt(served.admission, served_tokens(served.receipt), 1, PRICE + 1)
    key = (false.payer, false.lane, false.request_id)
    node.requests[key] = type(served)(served.admission, false, node._sign(false))
    node.faults = {"says_too_low"}
    with pytest.raises(PayeeCheated, match="unknown_request"):
        await client.complete(CHAT)
    assert bench.findings == ["unknown_request"]


def served_tokens(receipt: Receipt):
    from node.core.types import TokenCount

    return TokenCount(receipt.prompt_tokens, receipt.completion_tokens)


async def test_resync__402_names_another_operator__gets_no_money(bench):
    node = await bench.node(cover=1)
    node.faults = {"says_too_low", "shows_other_operator"}
    with pytest.raises(UntrustedProvider):
        await bench.client(node).complete(CHAT)
    assert bench.purse.ceiling == MAX_PRICE


async def test_resync__wallet_was_lost__starts_again_from_its_own_signature(bench, tmp_path):
    node = await bench.node()
    client = bench.client(node)
    for _ in range(5):
        await client.complete(CHAT)
    other = make_engine(tmp_path / "new")
    async with AsyncWwwserveClient(make_payer(dice=lambda n: b"\x07" * n), [node.url], other, bench.chain) as fresh:
        answer = await fresh.complete(CHAT)
    (purse,) = Wallet(other).run(lambda b: b.load_purses())
    assert (purse.base, purse.verified) == (5 * PRICE, 6 * PRICE)
    assert answer.receipt.cumulative == 6 * PRICE
    other.dispose()


async def test_resync__new_client_shown_a_false_total__adopts_nothing(bench):
    node = await bench.node()
    node.faults = {"says_too_low", "shows_false_total"}
    with pytest.raises((ExposureReached, PayeeCheated)):
        await bench.client(node).complete(CHAT)
    assert bench.purse.verified == 0
    assert node.ceilings <= LIMITS.exposure


async def test_generation__bumped_between_requests__new_vouchers_follow(bench):
    node = await bench.node()
    client = bench.client(node)
    await client.complete(CHAT)
    node.generation = 2
    bench.chain.operators[(node.payee, 2)] = node.operator.address
    key = next(iter(node.lanes))
    node.lanes[replace(key, generation=2)] = replace(node.lanes[key], key=replace(key, generation=2), best=0)
    answer = await client.complete(CHAT)
    assert (answer.receipt.generation, answer.receipt.cumulative) == (2, 2 * PRICE)


async def test_retry__of_a_served_request__is_not_paid_again(bench):
    node = await bench.node()
    ask = parse_ask("/v1/chat/completions", b'{"model":"word-model","messages":[{"role":"user","content":"a b c"}]}')
    world = World(WalletWriter(bench.engine), bench.chain, HttpxTransport())
    await run(buy(ask, bench.payer, [node.url], Directory()), world)
    (held,) = bench.books(lambda b: b.find_retried(ask.body_hash, "", 0))
    with pytest.raises(AlreadyPaid):
        await run(buy(ask, bench.payer, [node.url], Directory(), held), world)
    assert node.engine_runs == 1
    await world.transport.close()


async def test_retry__of_an_open_purchase_after_a_crash__goes_out_under_the_same_id(bench):
    node = await bench.node()
    ask = parse_ask("/v1/chat/completions", b'{"model":"word-model","messages":[{"role":"user","content":"a b c"}]}')
    world = World(WalletWriter(bench.engine), bench.chain, HttpxTransport())
    node.faults = {"silent"}
    carrier = Carrier(buy(ask, bench.payer, [node.url], Directory()), world)
    await until(lambda: node.posts)
    await carrier.kill()
    node.faults = set()
    (held,) = bench.books(lambda b: b.find_retried(ask.body_hash, "", 0))
    answer = await run(buy(ask, bench.payer, [node.url], Directory(), held), world)
    assert answer.paid.receipt.request_id == held.purchase.request_id
    assert (node.engine_runs, len(node.requests)) == (1, 1)
    await world.transport.close()


async def test_sweep__purchase_served_while_we_were_dead__its_receipt_is_booked(bench):
    node = await bench.node()
    ask = parse_ask("/v1/chat/completions", b'{"model":"word-model","messages":[{"role":"user","content":"a b c"}]}')
    world = World(WalletWriter(bench.engine), bench.chain, HttpxTransport())
    node.pause = 0.2
    carrier = Carrier(buy(ask, bench.payer, [node.url], Directory()), world)
    await until(lambda: node.engine_runs)
    await carrier.kill()
    await asyncio.sleep(0.4)
    swept = await run(sweep(bench.payer), world)
    assert swept.booked == 1
    assert bench.purse.in_flight == 0
    await world.transport.close()


async def test_sweep__payee_answers_with_bottomless_json__the_others_receipts_are_still_booked(bench):
    hostile, honest = await bench.node("hostile"), await bench.node("honest")
    world = World(WalletWriter(bench.engine), bench.chain, HttpxTransport())
    for node in (hostile, honest):
        node.pause = 0.2
        ask = parse_ask("/v1/chat/completions", json.dumps(CHAT).encode())
        carrier = Carrier(buy(ask, bench.payer, [node.url], Directory()), world)
        await until(lambda node=node: node.engine_runs)
        await carrier.kill()
    await asyncio.sleep(0.4)
    hostile.raw_receipt = b"[" * 100_000
    swept = await run(sweep(bench.payer), world)
    assert (swept.booked, swept.failed) == (1, 0)
    await world.transport.close()


async def test_stream__without_end__is_cut_off(bench, monkeypatch):
    monkeypatch.setattr("node.client.delivery.MAX_ANSWER_BYTES", 1_000)
    node = await bench.node()
    with pytest.raises(AnswerCut):
        await stream_text(bench.client(node))


async def test_refusals__before_anything_is_sent(bench):
    node = await bench.node()
    with pytest.raises(UnknownModel):
        await bench.client(node).complete({**CHAT, "model": "other"})
    with pytest.raises(BadConfig, match="trust word-model"):
        await bench.client(node, pins={}).complete(CHAT)
    with pytest.raises(BudgetReached, match="per-request"):
        await bench.client(node, limits=Limits(Amount(10**6), Amount(50), Amount(10**6))).complete(CHAT)
    with pytest.raises(BudgetReached, match="daily"):
        await bench.client(node, limits=Limits(Amount(10**6), Amount(10**6), Amount(50))).complete(CHAT)
    with pytest.raises(ExposureReached):
        await bench.client(node, limits=Limits(Amount(50), Amount(10**6), Amount(10**6))).complete(CHAT)
    with pytest.raises(BadConfig, match="no provider"):
        await bench.client().complete(CHAT)
    assert node.posts == 0
    assert not bench.books(lambda b: b.load_open())


async def test_budget__caller_names_no_limit__completion_is_cut_to_the_budget(bench):
    node = await bench.node(words=500)
    fields = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    limits = Limits(Amount(10**6), Amount(PROMPT_TOKENS + 20 * 2), Amount(10**6))
    answer = await bench.client(node, limits=limits).complete(fields)
    assert answer.receipt.completion_tokens == 20


async def test_offer__not_signed_by_the_chains_operator__is_refused(bench):
    node = await bench.node()
    bench.chain.operators[(node.payee, 1)] = bench.payer.address
    with pytest.raises(UntrustedProvider, match="operator key"):
        await bench.client(node).complete(CHAT)
    assert node.posts == 0


async def test_offer__not_the_one_in_the_registry__is_refused_before_anything_is_sent(bench):
    node = await bench.node()
    bench.chain.offers = frozenset({Bytes32(b"\x01" * 32)})
    with pytest.raises(UntrustedProvider, match="registry names"):
        await bench.client(node).complete(CHAT)
    assert node.posts == 0
    bench.chain.offers |= {node.offer.struct_hash()}  # a new offer at the head, the old one still final
    await bench.client(node).complete(CHAT)
    assert node.posts == 1


async def test_chain__down__what_it_said_serves_for_an_hour(bench):
    node = await bench.node()
    client = bench.client(node)
    await client.complete(CHAT)
    bench.chain.is_down = True
    bench.clock.at += 3_000
    await client.complete(CHAT)
    bench.clock.at += 700
    with pytest.raises(ChainUnavailable):
        await client.complete(CHAT)
    bench.chain.is_down = False
    await client.complete(CHAT)
    assert node.charged == 3 * PRICE


async def test_node__refuses_the_body__its_own_error_is_handed_on(bench):
    node = await bench.node()

    async def refuse(_request):
        return node._error(400, "bad_request", "temperature must be a number")

    node.post = refuse
    await node.stop()
    await node.start()
    with pytest.raises(NodeRefused, match="temperature"):
        await bench.client(node).complete(CHAT)
    assert bench.purse.in_flight == 0


async def test_hang_up__before_anything_came__leaves_no_task_and_no_stream(bench):
    node = await bench.node()
    node.faults = {"silent"}
    world = World(WalletWriter(bench.engine), bench.chain, HttpxTransport())
    ask = parse_ask(
        "/v1/chat/completions", b'{"model":"word-model","stream":true,"messages":[{"role":"user","content":"a"}]}'
    )
    carrier = Carrier(buy(ask, bench.payer, [node.url], Directory()), world)
    await until(lambda: node.posts)
    carrier.hang_up()
    await until(lambda: bench.books(lambda b: b.load_open())[0].seen.hung_up)
    await carrier.kill()
    assert node.hang_ups == 0  # it had not begun to serve
    await world.transport.close()


async def test_provider__unreachable_alone__is_a_retryable_error(bench):
    node = await bench.node()
    await node.stop()
    with pytest.raises(PeerFailed) as caught:
        await bench.client(node).complete(CHAT)
    assert caught.value.retryable
