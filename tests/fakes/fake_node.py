"""A node's payee side over HTTP with node.core's own functions, and switches that make it cheat or fail. No engine.

It answers with `words` words, one token each by `WordCounter`. Faults are names in `faults`; see `FAULTS`.
"""

import asyncio
import base64
import json
from dataclasses import dataclass, field, replace

from aiohttp import web

from node.adapters.keys import LocalSigner, Secret, recover
from node.client.escrow import PayeeFacts
from node.core import account
from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.choices import Choice, response_hash
from node.core.errors import CeilingTooLow, ChainUnavailable, CoverTooLow, WwwserveError
from node.core.hashing import Domain, keccak
from node.core.messages import ModelOffer, Offer, Receipt, Terms, Voucher
from node.core.pricing import charge_of, completion_room
from node.core.prompt import counted_prompt
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Status, TokenCount
from node.core.wire import (
    bytes_of,
    hex_of,
    message_from_json,
    message_to_json,
    offer_to_json,
    signature_of,
)

DOMAIN = Domain.of(31337, Address(b"\xee" * 20))
CURRENCY = Address(b"\xcc" * 20)
TOKENIZER, TEMPLATE = b"words are tokens", b"no template"
MODEL = "word-model"
FAULTS = frozenset(
    {
        "charges_more_than_priced",
        "charges_more_than_max",
        "inflates_completion",
        "inflates_prompt",
        "wrong_hash",
        "wrong_signer",
        "wrong_total",
        "cut_early",
        "cut_late",
        "cut_before_first",
        "no_receipt_shown",
        "no_receipt_at_all",
        "says_too_low",
        "shows_false_total",
        "shows_other_operator",
        "draining",
        "bad_gateway",
        "silent",
        "slow",
        "fails_midway",
        "in_progress_once",
    },
)


class WordCounter:
    """ports.TokenCounter: a word is a token."""

    tokenizer_hash = keccak(TOKENIZER)
    template_hash = keccak(TEMPLATE)

    def count_prompt(self, body) -> int:
        messages = body.get("messages")
        texts = [message["content"] for message in messages] if messages else [body["prompt"]]
        return sum(len(text.split()) for text in texts)

    def count_completion(self, text: str) -> int:
        return len(text.split())


def make_signer(name: str) -> LocalSigner:
    return LocalSigner(Secret(keccak(name.encode())))


@dataclass
class FakeChain:
    """What the escrow would say, for any number of payees."""

    operators: dict[tuple[Address, int], Address] = field(default_factory=dict)
    is_down: bool = False
    offers: frozenset[Bytes32] = frozenset()

    def read_payee(self, payee: Address) -> PayeeFacts:
        if self.is_down:
            raise ChainUnavailable("no RPC endpoint answers")
        generation = max((g for p, g in self.operators if p == payee), default=0)
        return PayeeFacts(payee, self.operators.get((payee, generation), Address(bytes(20))), generation, self.offers)

    def read_operator(self, payee: Address, generation: int) -> Address:
        return self.operators.get((payee, generation), Address(bytes(20)))


@dataclass
class Served:
    admission: Admission
    receipt: Receipt | None = None
    signature: bytes = b""
    voucher_json: dict = field(default_factory=dict)


class FakeNode:
    def __init__(self, chain: FakeChain, name: str = "node", *, words: int = 12, cover: int = 10**12) -> None:
        self.operator = make_signer(name + " operator")
        self.payee = make_signer(name + " payee").address
        self.generation = 1
        self.chain = chain
        chain.operators[(self.payee, 1)] = self.operator.address
        model = ModelOffer(
            MODEL, WordCounter.tokenizer_hash, WordCounter.template_hash, 1_000_000, 2_000_000, 4096, 512
        )
        self.offer = Offer(self.payee, 1, (model,), Amount(0), 0, 2**40)
        self.words, self.cover = words, cover
        self.faults: set[str] = set()
        self.lanes: dict[LaneKey, LaneState] = {}
        self.reserved_elsewhere = 0
        self.pair: dict[Address, PairState] = {}
        self.requests: dict[tuple[Address, Address, bytes], Served] = {}
        self.best: dict[LaneKey, tuple[Voucher, bytes]] = {}
        self.bodies: dict[bytes, bytes] = {}
        self.engine_runs = 0
        self.posts = 0
        self.hang_ups = 0
        self.raw_receipt: bytes | None = None
        self.pause = 0.0
        self._runner: web.AppRunner | None = None
        self.url = ""
        self._seq = 1_000_000

    # ------------------------------------------------------------------------------------------------ server
    async def start(self, port: int = 0) -> "FakeNode":
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.post)
        app.router.add_post("/v1/completions", self.post)
        app.router.add_get("/v1/offers/current", self.get_offer)
        app.router.add_get("/v1/artifacts/{hash}", self.get_artifact)
        app.router.add_get("/v1/receipts/{id}", self.get_receipt)
        app.router.add_get("/v1/receipts", self.get_receipts)
        app.router.add_get("/v1/lanes/{payer}/{lane}", self.get_lane)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def charged(self) -> int:
        return sum(s.receipt.charge for s in self.requests.values() if s.receipt)

    @property
    def ceilings(self) -> int:
        return sum(v.ceiling for v, _ in self.best.values())

    # ------------------------------------------------------------------------------------------------ lookups
    async def get_offer(self, _request: web.Request) -> web.Response:
        signature = self.operator.sign(DOMAIN.digest(self.offer.struct_hash()))
        document = {"offer": offer_to_json(self.offer), "signature": hex_of(signature)}
        return web.json_response({**document, "operator": hex_of(self.operator.address)})

    async def get_artifact(self, request: web.Request) -> web.Response:
        held = {hex_of(keccak(a)): a for a in (TOKENIZER, TEMPLATE)}
        return web.Response(body=held[request.match_info["hash"]])

    def _signed(self, served: Served) -> dict:
        return {"receipt": message_to_json(served.receipt), "signature": hex_of(served.signature)}

    async def get_receipt(self, request: web.Request) -> web.Response:
        key = tuple(
            bytes.fromhex(t[2:]) for t in (request.query["payer"], request.query["lane"], request.match_info["id"])
        )
        served = self.requests.get(key)
        if served is None or served.receipt is None or "no_receipt_at_all" in self.faults:
            return self._error(404, "not_found", "no such receipt")
        if self.raw_receipt is not None:
            return web.Response(body=self.raw_receipt, content_type="application/json")
        return web.json_response(self._signed(served))

    async def get_receipts(self, request: web.Request) -> web.Response:
        lane = bytes.fromhex(request.query["lane"][2:])
        after, generation = int(request.query["after"]), int(request.query["generation"])
        rows = [
            s
            for s in self.requests.values()
            if s.receipt and s.receipt.lane == lane and s.receipt.generation == generation and s.receipt.seq > after
        ]
        rows.sort(key=lambda s: s.receipt.seq)
        page = rows[: int(request.query["limit"])]
        following = str(page[-1].receipt.seq) if len(page) < len(rows) else None
        return web.json_response({"receipts": [self._signed(s) for s in page], "next": following})

    async def get_lane(self, request: web.Request) -> web.Response:
        lane = bytes.fromhex(request.match_info["lane"][2:])
        for key, (voucher, signature) in self.best.items():
            if key.lane == lane and key.generation == self.generation:
                best = {"voucher": message_to_json(voucher), "signature": hex_of(signature)}
                return web.json_response({"generation": key.generation, "bestVoucher": best})
        return self._error(404, "not_found", "no such lane")

    # ------------------------------------------------------------------------------------------------ serving
    def _error(self, status: int, code: str, message: str, *, retryable: bool = False, **facts) -> web.Response:
        body = {
            "error": {"message": message, "type": "x", "code": code, "param": None},
            "retryable": retryable,
            **facts,
        }
        return web.json_response(body, status=status)

    async def post(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 -- one exit a fault
        self.posts += 1
        body = await request.read()
        if "draining" in self.faults:
            return self._error(503, "draining", "going down", retryable=True)
        if "bad_gateway" in self.faults:
            return web.Response(status=502, text="<html>nginx</html>")
        if "silent" in self.faults:
            await asyncio.sleep(3600)
        if "in_progress_once" in self.faults:
            self.faults.discard("in_progress_once")
            return self._error(409, "in_progress", "being served", retryable=True)
        header = request.headers.get("PAYMENT-SIGNATURE")
        if header is None:
            return self._error(402, "missing_payment", "pay first")
        admission = self._parse(header, body)
        if isinstance(admission, web.Response):
            return admission
        key = (admission.key.payer, admission.key.lane, admission.request_id)
        if (known := self.requests.get(key)) is not None:
            return self._known(known, admission)
        try:
            self._admit(key, admission)
        except (CeilingTooLow, CoverTooLow) as exc:
            return self._demand(admission, exc)
        return await self._serve(request, admission, json.loads(body))

    def _known(self, known: Served, admission: Admission) -> web.Response:
        if known.admission.terms != admission.terms:
            return self._error(409, "terms_conflict", "other terms")
        if known.receipt is None:
            return self._error(409, "in_progress", "being served", retryable=True)
        response = self._error(409, "already_served", "served before")
        response.headers["PAYMENT-RESPONSE"] = base64.b64encode(json.dumps(self._signed(known)).encode()).decode()
        return response

    def _parse(self, header: str, body: bytes) -> Admission | web.Response:
        payload = json.loads(base64.b64decode(header))["payload"]
        voucher = message_from_json(Voucher, payload["voucher"])
        terms = message_from_json(Terms, payload["terms"])
        signature, salt = signature_of(payload["signature"]), bytes_of(payload["salt"], 32, "salt")
        lane = recover(DOMAIN.digest(voucher.struct_hash()), signature)
        assert voucher.payee == self.payee
        assert terms.struct_hash() == voucher.context
        assert keccak(salt + body) == terms.request_hash
        if voucher.generation != self.generation:
            return self._error(409, "stale_generation", "sign anew")
        if terms.offer_hash != self.offer.struct_hash():
            return self._error(409, "wrong_terms", "another offer")
        self.bodies[terms.request_id] = body
        key = LaneKey(voucher.payer, voucher.payee, lane, voucher.generation)
        held = self.best.get(key)
        if held is None or held[0].ceiling < voucher.ceiling:
            self.best[key] = (voucher, signature)
        return Admission(key, voucher, signature, terms, salt, Seconds(self._now_seq() // 1_000_000), 1)

    def _admit(self, key, admission: Admission) -> None:
        lane = self.lanes.get(admission.key, LaneState(admission.key))
        lane = replace(lane, reserved=lane.reserved + self.reserved_elsewhere)
        pair = self.pair.get(admission.key.payer)
        pair = pair or PairState(admission.key.payer, self.payee, Amount(self.cover), Amount(0))
        if "says_too_low" in self.faults:
            raise CeilingTooLow("too low", shortfall=10**9)
        lane, pair = account.admit(lane, pair, admission)
        self.lanes[admission.key] = replace(lane, reserved=lane.reserved - self.reserved_elsewhere)
        self.pair[admission.key.payer] = pair
        self.requests[key] = Served(admission)

    def _demand(self, admission: Admission, exc: WwwserveError) -> web.Response:
        lane = self.lanes.get(admission.key, LaneState(admission.key))
        mine = [s for s in self.requests.values() if s.receipt and s.receipt.key == admission.key]
        last = max(mine, key=lambda s: s.receipt.seq, default=None)
        shown = None if last is None else self._signed(last)
        if "shows_false_total" in self.faults:
            false = self._receipt(admission, TokenCount(1, 1), 1, 10**15)
            shown = {"receipt": message_to_json(false), "signature": hex_of(self._sign(false))}
        operator = make_signer("stranger").address if "shows_other_operator" in self.faults else self.operator.address
        extra = {
            "escrow": hex_of(DOMAIN.escrow),
            "offer": hex_of(self.offer.struct_hash()),
            "generation": self.generation,
            "operator": hex_of(operator),
            "coverLeft": "0",
            "charged": str(lane.charged),
            "reserved": str(lane.reserved),
            "bestCeiling": str(lane.best),
            "lastReceipt": shown,
            "shortfall": str(exc.facts.get("shortfall", 0)),
        }
        row = {"scheme": "ceiling", "network": "eip155:31337", "asset": hex_of(CURRENCY), "payTo": hex_of(self.payee)}
        row |= {"amount": str(admission.terms.max_price), "maxTimeoutSeconds": 60, "extra": extra}
        return self._error(402, exc.code(), exc.message, x402Version=2, accepts=[row])

    async def _serve(self, request: web.Request, admission: Admission, fields: dict) -> web.StreamResponse:
        self.engine_runs += 1
        terms = admission.terms
        prompt = WordCounter().count_prompt(counted_prompt(request.path, fields))
        room = completion_room(terms.max_price, prompt, terms.price_prompt, terms.price_completion)
        total = min(self.words, room, fields.get("max_tokens") or self.words)
        texts = [("" if i == 0 else " ") + f"word{i}" for i in range(total)]
        is_chat = request.path.endswith("chat/completions")
        if fields.get("stream"):
            return await self._stream(request, admission, fields, prompt, texts)
        try:
            await asyncio.sleep(self.pause)
        except asyncio.CancelledError:
            self.hang_ups += 1
            self._close(admission, 0, Choice(0, "", None, "content" if is_chat else "text"), Status.CANCELLED)
            raise
        choice = Choice(0, "".join(texts), "stop", "content" if is_chat else "text")
        served = self._close(admission, prompt, choice, Status.COMPLETE)
        message = {"message": {"role": "assistant", "content": choice.content}} if is_chat else {"text": choice.content}
        usage = {"prompt_tokens": prompt, "completion_tokens": total, "total_tokens": prompt + total}
        body = {"id": "x", "object": "chat.completion" if is_chat else "text_completion", "created": 1, "model": MODEL}
        body |= {"choices": [{"index": 0, "finish_reason": "stop", **message}], "usage": usage}
        response = web.json_response(body)
        if not self.faults & {"no_receipt_shown", "no_receipt_at_all"}:
            response.headers["PAYMENT-RESPONSE"] = base64.b64encode(json.dumps(self._signed(served)).encode()).decode()
        if "cut_before_first" in self.faults:
            request.transport.close()
        return response

    async def _stream(self, request, admission, fields, prompt, texts) -> web.StreamResponse:
        is_chat = request.path.endswith("chat/completions")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        sent = ""
        key = "content" if is_chat else "text"
        try:
            if "cut_before_first" in self.faults:
                self._close(admission, 0, Choice(0, "", None, key), Status.CANCELLED)
                request.transport.close()
                return response
            await response.prepare(request)
            for i, text in enumerate(texts):
                if "fails_midway" in self.faults and i == 3:
                    await self._event(response, {"error": {"message": "engine died", "type": "x", "code": "engine"}})
                    return await self._finish(response, admission, prompt, Choice(0, sent, None, key), Status.PARTIAL)
                if ("cut_early" in self.faults and i == 3) or ("cut_late" in self.faults and i == len(texts) - 1):
                    self._close(admission, prompt, Choice(0, "".join(texts), "stop", key), Status.COMPLETE)
                    request.transport.close()
                    return response
                part = {"delta": {"content": text}} if is_chat else {"text": text}
                await self._event(
                    response, {**_chunk(is_chat), "choices": [{"index": 0, "finish_reason": None, **part}]}
                )
                sent += text
                await asyncio.sleep(max(self.pause, 0.05 if "slow" in self.faults else 0))
            end = {"delta": {}} if is_chat else {"text": ""}
            await self._event(response, {**_chunk(is_chat), "choices": [{"index": 0, "finish_reason": "stop", **end}]})
            if (fields.get("stream_options") or {}).get("include_usage"):
                usage = {"prompt_tokens": prompt, "completion_tokens": len(texts), "total_tokens": prompt + len(texts)}
                await self._event(
                    response, {**_chunk(is_chat), "choices": [], "usage": {**usage, "cost": {"charge": "1"}}}
                )
            return await self._finish(response, admission, prompt, Choice(0, sent, "stop", key), Status.COMPLETE)
        except (ConnectionError, asyncio.CancelledError):
            self.hang_ups += 1
            self._close(admission, prompt if sent else 0, Choice(0, sent, None, key), Status.CANCELLED)
            raise

    async def _event(self, response, chunk: dict) -> None:
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    async def _finish(self, response, admission, prompt, choice, status) -> web.StreamResponse:
        served = self._close(admission, prompt, choice, status)
        if not self.faults & {"no_receipt_shown", "no_receipt_at_all"}:
            document = base64.b64encode(json.dumps(self._signed(served)).encode())
            await response.write(b": wwwserve-receipt " + document + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _close(self, admission: Admission, prompt: int, choice: Choice, status: Status) -> Served:
        served = self.requests[(admission.key.payer, admission.key.lane, admission.request_id)]
        if served.receipt is not None:
            return served
        terms = admission.terms
        completion = WordCounter().count_completion(choice.content)
        tokens = TokenCount(prompt + ("inflates_prompt" in self.faults), completion)
        if "inflates_completion" in self.faults:
            tokens = TokenCount(prompt, completion + 1)
        charge = min(charge_of(tokens, terms.price_prompt, terms.price_completion), terms.max_price)
        digest = response_hash(admission.salt, [choice])
        if "wrong_hash" in self.faults:
            digest = keccak(digest)
        self._seq += 7
        lane, pair = self.lanes[admission.key], self.pair[admission.key.payer]
        outcome = Outcome(status, tokens, Amount(charge), digest, ZERO32)
        lane, pair, receipt = account.close(lane, pair, admission, outcome, Micros(self._now_seq()))
        self.lanes[admission.key], self.pair[admission.key.payer] = lane, pair
        served.receipt = self._spoil(receipt, terms)
        served.signature = self._sign(served.receipt)
        return served

    def _now_seq(self) -> int:
        return self._seq + int(asyncio.get_running_loop().time() * 1_000_000) + 1_800_000_000_000_000  # the fake clock

    def _spoil(self, receipt: Receipt, terms: Terms) -> Receipt:
        if "charges_more_than_priced" in self.faults:
            return replace(receipt, charge=receipt.charge + 1, cumulative=receipt.cumulative + 1)
        if "charges_more_than_max" in self.faults:
            more = terms.max_price + 1 - receipt.charge
            return replace(receipt, charge=receipt.charge + more, cumulative=receipt.cumulative + more)
        if "wrong_total" in self.faults:
            return replace(receipt, cumulative=receipt.charge)
        return receipt

    def _sign(self, receipt: Receipt) -> bytes:
        signer = make_signer("stranger") if "wrong_signer" in self.faults else self.operator
        return signer.sign(DOMAIN.digest(receipt.struct_hash()))

    def _receipt(self, admission: Admission, tokens: TokenCount, charge: int, cumulative: int) -> Receipt:
        terms, key = admission.terms, admission.key
        return Receipt(
            key.payer, key.payee, key.lane, key.generation, Micros(self._now_seq()), keccak(b"never asked"),
            admission.voucher.context, terms.request_hash, ZERO32, ZERO32, tokens.prompt, tokens.completion,
            Status.COMPLETE, Amount(charge), Amount(cumulative),
        )  # fmt: skip


def _chunk(is_chat) -> dict:
    kind = "chat.completion.chunk" if is_chat else "text_completion"
    return {"id": "x", "object": kind, "created": 1, "model": MODEL}
