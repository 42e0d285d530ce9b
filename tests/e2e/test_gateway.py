"""The gateway as its user sees it: the unmodified official package in front, payees (honest and not) behind."""

import asyncio
import io
import json
from dataclasses import replace

import aiohttp
import openai
import pytest
from aiohttp import web

from node.cli.devmarket.processes import free_port
from node.client.carrier import World
from node.client.gateway.app import Gateway
from node.client.gateway.guard import Guard
from node.client.gateway.retries import Answers
from node.client.over_aiohttp import AiohttpTransport
from node.client.store import Wallet, WalletWriter
from node.client.wallet import Limits
from node.core.types import Amount
from tests.fakes.fake_node import MODEL, FakeChain, FakeNode
from tests.fakes.payers import FakeClock, make_engine, make_payer

KEY = "wws-test"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 50}
PRICE = 3 + 12 * 2


class House:
    """A gateway with its chain, wallet and nodes."""

    def __init__(self, folder) -> None:
        self.chain, self.engine, self.clock = FakeChain(), make_engine(folder), FakeClock()
        self.nodes: list[FakeNode] = []
        self.port = free_port()
        self.payer = make_payer(clock=self.clock)
        self.runner: web.AppRunner | None = None
        self.clients: list[openai.AsyncOpenAI] = []

    async def open(self, *names, limits=None) -> "House":
        for name in names or ("node",):
            self.nodes.append(await FakeNode(self.chain, name).start())
        payer = replace(self.payer, limits=limits) if limits else self.payer
        world = World(WalletWriter(self.engine), self.chain, AiohttpTransport(guard=False))
        urls = tuple(node.url for node in self.nodes)
        self.gateway = Gateway(payer, world, Guard(KEY, self.port), lambda: urls)
        self.runner = web.AppRunner(self.gateway.application(), handler_cancellation=True, shutdown_timeout=0.2)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        return self

    @property
    def node(self) -> FakeNode:
        return self.nodes[0]

    def client(self, key=KEY, retries=0, **members) -> openai.AsyncOpenAI:
        client = openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{self.port}/v1",
            api_key=key,
            max_retries=retries,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
            **members,
        )
        self.clients.append(client)
        return client

    def books(self, action):
        return Wallet(self.engine).run(action)

    @property
    def verified(self) -> int:
        return sum(purse.verified for purse in self.books(lambda b: b.load_purses()))

    async def raw(self, method, path, **members) -> tuple[int, dict]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, **members) as reply:
            return reply.status, await reply.json()

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        if self.runner is not None:
            await self.runner.cleanup()
            await self.gateway.close()
        for node in self.nodes:
            await node.stop()
        self.engine.dispose()


async def until(is_true) -> None:
    """Poll, for at most 30 s: the machine may be busy."""
    for _ in range(600):
        if is_true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path)
    yield house
    await house.close()


async def test_openai__plain_completion__is_answered_and_paid(house):
    await house.open()
    answer = await house.client().chat.completions.create(**ASK)
    assert answer.choices[0].message.content.split()[-1] == "word11"
    assert answer.usage.completion_tokens == 12
    assert house.verified == house.node.charged == PRICE


async def test_openai__legacy_completion__is_answered_and_paid(house):
    await house.open()
    answer = await house.client().completions.create(model=MODEL, prompt="one two three", max_tokens=50)
    assert answer.choices[0].text.split()[-1] == "word11"
    assert house.verified == PRICE


async def test_openai__stream_with_usage__passes_every_event_through(house):
    await house.open()
    stream = await house.client().chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.split()[-1] == "word11"
    assert chunks[-1].usage.completion_tokens == 12
    assert chunks[-1].usage.model_extra["cost"] == {"charge": "1"}
    assert house.verified == PRICE


async def test_openai__models__lists_prices_and_providers(house):
    await house.open()
    models = await house.client().models.list()
    assert [model.id for model in models.data] == [MODEL]
    (provider,) = models.data[0].model_extra["providers"]
    assert (provider["price_completion"], provider["trusted"]) == ("2000000", True)


async def test_openai__many_at_once__all_paid_once(house):
    await house.open()
    client = house.client()
    answers = await asyncio.gather(*(client.chat.completions.create(**ASK) for _ in range(20)))
    assert len(answers) == 20
    assert house.verified == house.node.charged == 20 * PRICE


ERRORS = {
    openai.AuthenticationError: {"key": "wws-wrong"},
    openai.NotFoundError: {"ask": {**ASK, "model": "nobody-has-it"}},
    openai.BadRequestError: {"ask": {**ASK, "messages": "hello"}},
    openai.RateLimitError: {"limits": Limits(Amount(10**6), Amount(10**6), Amount(10))},
    openai.InternalServerError: {"fault": "wrong_hash"},
}


@pytest.mark.parametrize(("kind", "case"), ERRORS.items(), ids=lambda value: getattr(value, "__name__", ""))
async def test_openai__each_failure__raises_the_packages_own_class(house, kind, case):
    await house.open(limits=case.get("limits"))
    house.node.faults = {case["fault"]} if "fault" in case else set()
    with pytest.raises(kind) as caught:
        await house.client(case.get("key", KEY), retries=2).chat.completions.create(**case.get("ask", ASK))
    assert caught.value.body["message"]
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_openai__exposure_too_small__is_a_402_that_says_what_to_do(house):
    await house.open(limits=Limits(Amount(10), Amount(10**6), Amount(10**6)))
    with pytest.raises(openai.APIStatusError) as caught:
        await house.client().chat.completions.create(**ASK)
    assert (caught.value.status_code, caught.value.code) == (402, "exposure_reached")


@pytest.mark.parametrize("fault", ["cut_early", "wrong_hash", "no_receipt_at_all", "inflates_completion"])
async def test_openai__stream_that_is_cut_or_false__raises_instead_of_ending(house, fault):
    await house.open()
    house.node.faults = {fault}
    stream = await house.client().chat.completions.create(**ASK, stream=True)
    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in stream]


async def test_openai__engine_error_midway__raises(house):
    await house.open()
    house.node.faults = {"fails_midway"}
    stream = await house.client().chat.completions.create(**ASK, stream=True)
    with pytest.raises(openai.APIError, match="engine died"):
        _ = [chunk async for chunk in stream]


async def test_openai__first_provider_down__the_next_answers(house):
    await house.open("first", "second")
    await house.nodes[0].stop()
    await house.client().chat.completions.create(**ASK)
    assert house.nodes[1].charged == PRICE


async def test_hang_up__in_mid_stream__reaches_the_provider(house):
    await house.open()
    house.node.pause = 0.05
    stream = await house.client().chat.completions.create(**ASK, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await until(lambda: house.node.hang_ups == 1 and house.verified == house.node.charged)
    assert 0 < house.node.charged < PRICE


async def test_hang_up__while_waiting_for_a_plain_answer__reaches_the_provider(house):
    await house.open()
    house.node.pause = 60
    task = asyncio.create_task(house.client(timeout=60).chat.completions.create(**ASK))
    await until(lambda: house.node.engine_runs)
    task.cancel()
    await until(lambda: house.node.hang_ups == 1)
    assert house.node.charged == 0


async def test_retry__official_package_times_out_and_retries__is_paid_once(house):
    await house.open()
    house.node.pause = 60
    client = house.client(retries=5, timeout=4)
    task = asyncio.create_task(client.chat.completions.create(**ASK))
    await until(lambda: house.node.engine_runs)
    house.node.pause = 0
    answer = await task
    assert answer.usage.completion_tokens == 12
    assert house.node.charged == PRICE
    assert sum(1 for s in house.node.requests.values() if s.receipt and s.receipt.charge) == 1


async def test_retry__answer_was_lost_on_the_way__is_given_again_for_free(house):
    await house.open()
    headers = {"Authorization": f"Bearer {KEY}"}
    status, first = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    again = {**headers, "x-stainless-retry-count": "1"}
    _, second = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=again)
    assert (status, first) == (200, second)
    assert house.node.posts == 1


async def test_retry__same_idempotency_key__is_served_once_even_at_once(house):
    await house.open()
    house.node.pause = 0.3
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k1"}
    first = asyncio.create_task(house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers))
    while not house.node.posts:  # noqa: ASYNC110 -- the fake announces nothing
        await asyncio.sleep(0.01)
    status, body = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    assert (status, body["error"]["code"]) == (409, "in_progress")
    await first
    status, _ = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    assert (status, house.node.engine_runs, house.node.charged) == (200, 1, PRICE)


async def test_retry__same_idempotency_key_before_the_first_is_begun__is_served_once(house):
    await house.open()
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k1"}
    post = (house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers) for _ in range(5))
    statuses = sorted(status for status, _ in await asyncio.gather(*post))
    assert (statuses, house.node.engine_runs, house.node.charged) == ([200, 409, 409, 409, 409], 1, PRICE)


@pytest.mark.parametrize("mark", [{"Idempotency-Key": "k1"}, {"x-stainless-retry-count": "1"}])
async def test_retry__cut_once_then_answered_and_lost__is_never_bought_again(house, mark):
    """The newest purchase counts: an older one that ended unserved is no reason to buy a third."""
    await house.open()
    headers = {"Authorization": f"Bearer {KEY}", **mark}
    house.node.pause = 30.0
    first = asyncio.create_task(house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers))
    while not house.node.posts:  # noqa: ASYNC110 -- the fake announces nothing
        await asyncio.sleep(0.01)
    first.cancel()
    await until(lambda: house.node.hang_ups == 1 and not house.gateway.live())
    house.node.pause = 0.0
    status, answer = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    assert (status, house.node.engine_runs, house.node.charged) == (200, 2, PRICE)
    again = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    assert (*again, house.node.engine_runs, house.node.charged) == (200, answer, 2, PRICE)
    house.gateway.answers = Answers()  # what a killed gateway forgets
    status, refusal = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    assert (status >= 400, house.node.engine_runs, house.node.charged) == (True, 2, PRICE), refusal


async def test_twins__one_is_done__the_other_is_still_known_as_live(house):
    await house.open()
    house.node.pause = 0.4
    client = house.client()
    first = asyncio.create_task(client.chat.completions.create(**ASK))
    while not house.node.posts:  # noqa: ASYNC110 -- the fake announces nothing
        await asyncio.sleep(0.01)
    (still_waiting,) = house.gateway.live()
    house.node.pause = 0.0
    await client.chat.completions.create(**ASK)
    assert house.gateway.live() == {still_waiting}
    await first


async def test_twins__same_body_without_a_retry_mark__are_two_purchases(house):
    await house.open()
    client = house.client()
    await client.chat.completions.create(**ASK)
    await client.chat.completions.create(**ASK)
    assert house.node.charged == 2 * PRICE


async def test_retry__later_than_ten_minutes__is_a_new_purchase(house):
    await house.open()
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k1"}
    await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    house.clock.at += 601
    await house.raw("POST", "/v1/chat/completions", json=ASK, headers=headers)
    assert house.node.charged == 2 * PRICE


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Authorization": "Basic x"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Idempotency-Key": "x" * 300}, 400),
    ],
)
async def test_guard__foreign_or_malformed_caller__is_refused_and_nothing_is_sent(house, headers, status):
    await house.open()
    sent = {"Authorization": f"Bearer {KEY}", **headers}
    got, body = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=sent)
    assert got == status
    assert body["error"]["message"]
    assert house.node.posts == 0


async def test_guard__own_origin_and_localhost__are_let_in(house):
    await house.open()
    own = {
        "Authorization": f"Bearer {KEY}",
        "Host": f"localhost:{house.port}",
        "Origin": f"http://localhost:{house.port}",
    }
    status, _ = await house.raw("POST", "/v1/chat/completions", json=ASK, headers=own)
    assert status == 200


async def test_body__not_json_or_too_large__is_an_openai_error(house):
    await house.open()
    headers = {"Authorization": f"Bearer {KEY}"}
    status, body = await house.raw("POST", "/v1/chat/completions", data=b"{", headers=headers)
    assert (status, body["error"]["code"]) == (400, "bad_request")
    status, body = await house.raw("POST", "/v1/chat/completions", data=io.BytesIO(b"x" * (9 << 20)), headers=headers)
    assert (status, body["error"]["code"]) == (413, "too_large")
    status, body = await house.raw("GET", "/v1/nothing", headers=headers)
    assert (status, body["error"]["type"]) == (404, "invalid_request_error")


async def test_status__after_a_fraud__shows_lanes_budget_and_the_finding(house):
    await house.open()
    client = house.client()
    await client.chat.completions.create(**ASK)
    house.node.faults = {"wrong_hash"}
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**ASK)
    status, body = await house.raw("GET", "/v1/balance", headers={"Authorization": f"Bearer {KEY}"})
    assert status == 200
    assert body["findings"][0]["code"] == "wrong_response_hash"
    (lane,) = body["lanes"]
    assert (lane["verified"], lane["stopped"]) == (str(PRICE), "wrong_response_hash")
    assert (await house.raw("GET", "/healthz"))[1] == {"status": "ok"}
    assert (await house.raw("GET", "/v1/balance"))[0] == 401
    json.dumps(body)
