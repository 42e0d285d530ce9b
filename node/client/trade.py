"""One purchase under way with one provider: begun in the wallet, signed, and everything later steps need of it."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from node.client.books import Books
from node.client.effects import Compute, Flow, InWallet
from node.client.payer import Payer
from node.client.pins import Pin
from node.client.provider import Directory, Provider, learn_counter
from node.client.quote import Ask, max_price
from node.client.rows import Origin
from node.client.verify import Delivered
from node.client.wallet import BudgetReached, ExposureReached, Purchase, Purse
from node.client.x402 import Payment, SignedReceipt
from node.core.errors import BadConfig, Broken
from node.core.hashing import keccak
from node.core.messages import ModelOffer, Terms, Voucher
from node.core.prompt import counted_prompt
from node.core.types import Address, Amount, Bytes32, LaneKey, Seconds
from node.core.wire import hex_of
from node.ports.engine import TokenCounter

START_WITHIN = Seconds(120)
"""`startBy` lies this far ahead: long enough for retries under the same id, short enough to drop what was lost."""
DAY_SECONDS = 86_400


class Case(Protocol):
    """What the checks of a receipt need: a trade under way, or a purchase found in the books."""

    payer: Payer
    url: str
    operator: Address
    purchase: Purchase
    purse: Purse


@dataclass(slots=True)
class LateCase:
    """A purchase found in the books, for its late receipt."""

    payer: Payer
    url: str
    operator: Address
    purchase: Purchase
    purse: Purse


@dataclass(slots=True)
class Trade:
    """Changes as the exchange goes on: the purse after each wallet step, and what has been sent and shown."""

    ask: Ask
    payer: Payer
    directory: Directory
    url: str
    operator: Address
    purchase: Purchase
    purse: Purse
    counter: TokenCounter
    is_unknown: bool = False
    """Whether an attempt may have been taken up without a word: no later refusal undoes that for a plain request."""
    is_resumed: bool = False
    """Begun by an earlier caller, who may have seen tokens: never handed to another provider without a refusal."""
    is_resynced: bool = False
    has_emitted: bool = False
    seen: Delivered = Delivered()

    @property
    def key(self) -> LaneKey:
        """The lane and generation that pays."""
        return self.purchase.key


def now_of(payer: Payer) -> Seconds:
    """Unix seconds by the payer's clock."""
    return Seconds(int(payer.tools.clock.now()))


def begin(provider: Provider, ask: Ask, payer: Payer, directory: Directory) -> Flow[Trade]:
    """Count, quote and reserve: durable when it returns. Raises the refusals of quote and wallet."""
    model = provider.model_named(ask.model)
    _check_prices(model, payer)
    pin = Pin(model.tokenizer, model.template)
    counter = yield from learn_counter(provider.url, model.name, pin, payer, directory)
    prompt_tokens = ask.prompt_tokens
    if prompt_tokens is None:
        prompt = counted_prompt(ask.path, ask.fields)
        prompt_tokens = yield Compute(lambda: counter.count_prompt(prompt), len(ask.body))
    price = max_price(ask, model, prompt_tokens, payer.limits.per_request)
    salt, request_id = payer.twin or (Bytes32(payer.tools.dice(32)), Bytes32(payer.tools.dice(32)))
    terms = _terms(provider, model, payer, (request_id, keccak(salt + ask.body)), price)
    blank = Purchase(
        provider.lane_key(payer.address, payer.address), terms, salt, prompt_tokens, now_of(payer) // DAY_SECONDS
    )
    purchase, purse = yield from _reserve(blank, provider, ask, payer)
    return Trade(ask, payer, directory, provider.url, provider.facts.operator, purchase, purse, counter)


def _check_prices(model: ModelOffer, payer: Payer) -> None:
    """A node buys only below what it sells for (rule 7). Raises BudgetReached."""
    most = payer.dearest
    if most is not None and (model.price_prompt > most.prompt or model.price_completion > most.completion):
        raise BudgetReached(
            "this provider's prices leave no margin",
            price_prompt=model.price_prompt,
            price_completion=model.price_completion,
        )


def _terms(
    provider: Provider, model: ModelOffer, payer: Payer, request: tuple[Bytes32, Bytes32], price: Amount
) -> Terms:
    """`request`: its id and its hash."""
    return Terms(
        request_id=request[0],
        request_hash=request[1],
        offer_hash=provider.offer_hash,
        model=model.model,
        tokenizer=model.tokenizer,
        template=model.template,
        price_prompt=model.price_prompt,
        price_completion=model.price_completion,
        max_price=price,
        start_by=Seconds(now_of(payer) + START_WITHIN),
        mode=0,
        flags=payer.flags,
        hops=payer.hops,
        origin_hash=payer.origin,
    )


def _reserve(blank: Purchase, provider: Provider, ask: Ask, payer: Payer) -> Flow[tuple[Purchase, Purse]]:
    """In the first lane with room: one exposure a lane. Raises the last lane's refusal."""
    origin = Origin(provider.url, ask.path, ask.body_hash, ask.retry_key, now_of(payer))
    refusal: ExposureReached | None = None
    for signer in payer.signers:
        purchase = replace(blank, key=provider.lane_key(payer.address, signer.address))
        try:
            purse: Purse = yield InWallet(partial(Books.begin, purchase=purchase, origin=origin, limits=payer.limits))
        except ExposureReached as exc:
            refusal = exc
            continue
        ask.ids.append(purchase.request_id)
        return purchase, purse
    raise refusal or Broken("a payer without a signer cannot pay")


def payment_header(trade: Trade, last: SignedReceipt | None = None) -> str:
    """Sign the voucher for the purse as it is durable now, over the unchanged Terms."""
    signer = trade.payer.signer_of(trade.key)
    if signer is None:
        raise BadConfig("the key of the lane that began this request is not loaded", lane=hex_of(trade.key.lane))
    purchase, domain = trade.purchase, trade.payer.domain
    key, context = purchase.key, purchase.terms.struct_hash()
    voucher = Voucher(key.payer, key.payee, key.generation, trade.purse.ceiling, context)
    signature = signer.sign(domain.digest(voucher.struct_hash()))
    return Payment(voucher, signature, purchase.terms, purchase.salt).to_header(domain, last)
