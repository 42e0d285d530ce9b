"""An honest market that writes its own history: payers, payees, receipts, claims. Frauds bend one step of it.

Messages are hashed and encoded by `node.core`, never by the auditor: every history compares both sides' formats.
"""

from dataclasses import dataclass, field, replace

from coincurve import PrivateKey

from node.core.hashing import Domain
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Answer, Claim, ModelOffer, Offer, Receipt, Terms, Voucher
from node.core.pricing import charge_of
from node.core.types import ZERO32, TokenCount
from node.core.wire import message_from_json, message_to_json, offer_to_json
from tests.frauds.model import Model, hexed, keccak

ARCHIVE = "{archive}"
"""Stands in an endpoint for wherever the history is served."""


def key_of(name: str) -> PrivateKey:
    return PrivateKey(keccak(f"key {name}".encode()))


def address_of_key(name: str) -> bytes:
    return keccak(key_of(name).public_key.format(compressed=False)[1:])[12:]


def sign(name: str, digest: bytes) -> str:
    raw = key_of(name).sign_recoverable(digest, hasher=None)
    return hexed(raw[:64] + bytes([27 + raw[64]]))


@dataclass
class LaneBooks:
    """One lane and generation at its payee. `peaks` grows with the entries."""

    entries: list[dict] = field(default_factory=list)
    peaks: Peaks = field(default_factory=Peaks)
    charged: int = 0
    seq: int = 0
    ceiling: int = 0


@dataclass
class World:
    """Names stand for keys; every amount is in base units."""

    chain: Model = field(default_factory=Model)
    offers: dict[str, list[Offer]] = field(default_factory=dict)
    documents: dict[str, dict] = field(default_factory=dict)
    settlements: dict[str, dict] = field(default_factory=dict)
    books: dict[tuple, LaneBooks] = field(default_factory=dict)
    held: list[dict] = field(default_factory=list)
    options: dict = field(default_factory=dict)
    requests: int = 0

    @property
    def domain(self) -> Domain:
        return Domain.of(self.chain.chain_id, bytes.fromhex(self.chain.escrow[2:]))

    # who there is
    def add_payee(self, name: str, price: tuple[int, int] = (200_000, 600_000)) -> None:
        payee = hexed(address_of_key(name))
        self.chain.set_operator(payee, hexed(address_of_key(f"{name} operator")))
        offer = self.make_offer(name, price)
        self.publish(name, offer)
        self.chain.register(payee, f"{ARCHIVE}/{name}", hexed(offer.struct_hash()), 5_000_000)

    def make_offer(self, name: str, price: tuple[int, int], number: int = 1) -> Offer:
        model = ModelOffer("smollm2-135m", keccak(b"tokenizer"), keccak(b"template"), *price, 2048, 512)
        now = self.chain.now
        return Offer(address_of_key(name), number, (model,), 0, now - 60, now + 30 * 86_400)

    def publish(self, name: str, offer: Offer, **bent: object) -> None:
        """The offer document as the node serves it."""
        self.offers.setdefault(name, []).append(offer)
        signature = sign(f"{name} operator", self.domain.digest(offer.struct_hash()))
        document = {"offer": offer_to_json(offer), "signature": signature, "operator": "0x" + "00" * 20}
        self.documents[f"{name} {hexed(offer.struct_hash())}"] = document | bent

    def add_payer(self, name: str, allotments: dict[str, int], free: int = 1_000) -> None:
        payer = hexed(address_of_key(name))
        self.chain.deposit(payer, sum(allotments.values()) + free)
        for payee, amount in allotments.items():
            self.chain.allot(payer, hexed(address_of_key(payee)), amount)

    def add_signer(self, payer: str, signer: str, cap: int) -> None:
        self.chain.authorize(hexed(address_of_key(payer)), hexed(address_of_key(signer)), cap)

    # what happens
    def lane(self, payer: str, payee: str, signer: str | None = None, generation: int | None = None) -> LaneBooks:
        generation = generation or self.chain.payees[hexed(address_of_key(payee))][1]
        return self.books.setdefault((payer, payee, signer or payer, generation), LaneBooks())

    def serve(
        self,
        payer: str,
        payee: str,
        tokens: tuple[int, int] = (40, 60),
        *,
        signer: str | None = None,
        status: int = 1,
        terms: dict | None = None,
        voucher: dict | None = None,
        receipt: dict | None = None,
        answer: dict | None = None,
        signed_by: dict | None = None,
        generation: int | None = None,
        omit: bool = False,
    ) -> dict:
        """One paid request. `terms`, `voucher`, `receipt` bend members before signing; `signed_by` bends who signs.

        With an `answer` (bent by its members) the executor vouches for what it gave another node.
        """
        signer = signer or payer
        generation = generation or self.chain.payees[hexed(address_of_key(payee))][1]
        books = self.lane(payer, payee, signer, generation)
        quoted = replace(self._terms(payee, tokens), **(terms or {}))
        bought = replace(self._voucher(payer, payee, generation, books, quoted), **(voucher or {}))
        served = self._receipt(bought, quoted, signer, (tokens, status), books)
        word = None if answer is None else replace(self._answer(served, quoted), **answer)
        served = served if word is None else replace(served, answer_hash=word.struct_hash())
        served = replace(served, **(receipt or {}))
        keys = {"receipt": f"{payee} operator", "answer": f"{payee} operator", "voucher": signer} | (signed_by or {})
        entry = {
            "receipt": message_to_json(served),
            "signature": sign(keys["receipt"], self.domain.digest(served.struct_hash())),
            "terms": message_to_json(quoted),
            "voucher": message_to_json(bought),
            "voucherSignature": sign(keys["voucher"], self.domain.digest(bought.struct_hash())),
        }
        if word is not None:
            signature = sign(keys["answer"], self.domain.digest(word.struct_hash()))
            entry["answer"] = {"answer": message_to_json(word), "signature": signature}
        if not omit:
            self._book(books, served, bought, entry)
        return entry

    def resigned(self, entry: dict, receipt: Receipt, payee: str) -> dict:
        """The entry with another receipt in it, signed by the operator."""
        signature = sign(f"{payee} operator", self.domain.digest(receipt.struct_hash()))
        return entry | {"receipt": message_to_json(receipt), "signature": signature}

    def replayed(self, entry: dict, charge: int, books: LaneBooks) -> None:
        """A second receipt for the same voucher."""
        first = message_from_json(Receipt, entry["receipt"])
        again = replace(first, seq=first.seq + 1, cumulative=first.cumulative + charge)
        second = self.resigned(entry, again, "north")
        books.ceiling += charge
        self._book(books, again, message_from_json(Voucher, entry["voucher"]), second)

    def voucher_hash(self, entry: dict) -> bytes:
        return message_from_json(Voucher, entry["voucher"]).struct_hash()

    def sign_claim(self, claim: dict, name: str) -> str:
        return sign(name, self.domain.digest(message_from_json(Claim, claim).struct_hash()))

    def _book(self, books: LaneBooks, served: Receipt, bought: Voucher, entry: dict) -> None:
        books.entries.append(entry)
        books.peaks = books.peaks.append(leaf_hash(served.struct_hash()))
        books.charged, books.seq = served.cumulative, max(books.seq, served.seq)
        books.ceiling = max(books.ceiling, bought.ceiling)

    def _terms(self, payee: str, tokens: tuple[int, int]) -> Terms:
        self.requests += 1
        offer = self.offers[payee][-1]
        model = offer.models[0]
        most = charge_of(TokenCount(tokens[0], tokens[1] + 20), model.price_prompt, model.price_completion)
        return Terms(
            request_id=keccak(f"request {self.requests}".encode()),
            request_hash=keccak(f"body {self.requests}".encode()),
            offer_hash=offer.struct_hash(),
            model=model.model,
            tokenizer=model.tokenizer,
            template=model.template,
            price_prompt=model.price_prompt,
            price_completion=model.price_completion,
            max_price=most,
            start_by=self.chain.now + 60,
            mode=0,
            flags=0,
            hops=0,
            origin_hash=ZERO32,
        )

    def _answer(self, served: Receipt, terms: Terms) -> Answer:
        return Answer(
            payer=served.payer,
            lane=served.lane,
            generation=served.generation,
            request_id=served.request_id,
            request_hash=served.request_hash,
            response_hash=served.response_hash,
            model=terms.model,
            executor=served.payee,
            nonce_commit=keccak(b"nonce" + served.request_id),
        )

    def _voucher(self, payer: str, payee: str, generation: int, books: LaneBooks, terms: Terms) -> Voucher:
        ceiling = max(books.ceiling, books.charged + terms.max_price)
        return Voucher(address_of_key(payer), address_of_key(payee), generation, ceiling, terms.struct_hash())

    def _receipt(
        self, voucher: Voucher, terms: Terms, signer: str, outcome: tuple[tuple[int, int], int], books: LaneBooks
    ) -> Receipt:
        (prompt, completion), status = outcome
        price = charge_of(TokenCount(prompt, completion), terms.price_prompt, terms.price_completion)
        charge = min(price, terms.max_price)
        return Receipt(
            payer=voucher.payer,
            payee=voucher.payee,
            lane=address_of_key(signer),
            generation=voucher.generation,
            seq=max(books.seq + 1, self.chain.now * 1_000_000),
            request_id=terms.request_id,
            context=voucher.context,
            request_hash=terms.request_hash,
            response_hash=keccak(b"answer" + terms.request_id),
            answer_hash=ZERO32,
            prompt_tokens=prompt,
            completion_tokens=completion,
            status=status,
            charge=charge,
            cumulative=books.charged + charge,
        )

    def settle(
        self,
        payer: str,
        payee: str,
        *,
        signer: str | None = None,
        generation: int | None = None,
        claim: dict | None = None,
        ceiling: int | None = None,
        signed_by: str | None = None,
        serve: dict | None = None,
    ) -> dict:
        """Claim all the lane's receipts. `claim` bends the claim, `serve` what the node serves for it."""
        signer = signer or payer
        generation = generation or self.chain.payees[hexed(address_of_key(payee))][1]
        books = self.lane(payer, payee, signer, generation)
        wanted = Claim(
            payer=address_of_key(payer),
            payee=address_of_key(payee),
            lane=address_of_key(signer),
            generation=generation,
            seq=books.seq,
            cumulative=books.charged,
            receipts_root=books.peaks.root,
            count=len(books.entries),
        )
        wanted = replace(wanted, **(claim or {}))
        wire = message_to_json(wanted)
        signature = sign(signed_by or f"{payee} operator", self.domain.digest(wanted.struct_hash()))
        self.settlements[wire["receiptsRoot"]] = {
            "payee": payee,
            "count": wanted.count,
            "claim": wire,
            "claimSignature": signature,
            "lane": [payer, payee, signer, generation],
        } | (serve or {})
        mined = wire | {"cumulative": wanted.cumulative, "seq": wanted.seq, "root": wire["receiptsRoot"]}
        best = max(books.entries, key=lambda entry: int(entry["voucher"]["ceiling"]), default=None)
        mined |= {"claimSignature": signature, "best": best}
        return self.chain.settle(mined, books.ceiling if ceiling is None else ceiling)

    # what is written down
    def history(self) -> dict:
        """The whole history as JSON."""
        self.chain.mine()
        chain = self.chain
        return self.evidence() | {
            "deploy_block": 1,
            "pinned_block": chain.block,
            "block_times": {str(number): at for number, at in sorted(chain.times.items())},
            "events": chain.events,
            "views": chain.views(),
            "held": self.held,
        }

    def evidence(self) -> dict:
        """What the nodes serve, without the chain."""
        names = {name for key in self.books for name in key[:3]} | set(self.offers)
        return {
            "schema": 1,
            "chain_id": self.chain.chain_id,
            "escrow": self.chain.escrow,
            "registry": self.chain.registry,
            "currency": self.chain.currency,
            "names": {name: hexed(address_of_key(name)) for name in sorted(names)},
            "lanes": {f"{a}|{b}|{c}|{d}": books.entries for (a, b, c, d), books in self.books.items()},
            "settlements": self.settlements,
            "offers": self.documents,
            "options": self.options,
            "events": [],
            "views": {},
        }
