"""Every failure the product can name.

Refused      expected; the caller can act on it (it carries the facts the caller needs next)
  BadRequest, MissingPayment, BadVoucher, UnknownModel, ...
Unavailable  the world failed; the same call may be retried
Broken       our bug or a broken assumption: stop that task loudly

The code shown to callers is the class name in snake case (`node/api/errors.py` maps classes to HTTP statuses).
"""

import re
from typing import ClassVar, TypeAlias

Fact: TypeAlias = int | str | bool | None
_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class WwwserveError(Exception):
    """Root of the tree. `facts` are what the caller needs next; amounts in base units, times in Unix seconds."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **facts: Fact) -> None:
        super().__init__(message)
        self.message = message
        self.facts: dict[str, Fact] = facts

    @classmethod
    def code(cls) -> str:
        """The stable machine name, e.g. `ceiling_too_low`."""
        return _WORD_START.sub("_", cls.__name__).lower()


class Refused(WwwserveError):
    """The caller asked for something this node will not do; nothing was charged."""


class Unavailable(WwwserveError):
    """The world failed (database, chain, engine, peer); nothing was charged; try again."""

    retryable = True


class Broken(WwwserveError):
    """An assumption of ours does not hold. The task stops; money is left untouched."""


class BadRequest(Refused):
    """The body is not a request this route understands."""


class NotOffered(Refused):
    """A valid OpenAI parameter that this node does not serve (for example `n` > 1)."""


class PromptTooLong(Refused):
    """Prompt and completion do not fit the model's context."""


class UnknownModel(Refused):
    """No offer of this node names that model."""


class MissingPayment(Refused):
    """No voucher came with the request."""


class BadVoucher(Refused):
    """A protocol message (voucher, terms, receipt, claim, offer) or what carries it is not well-formed."""


class WrongSignature(Refused):
    """The voucher's signature does not recover to a live signer of the payer on this chain and escrow."""


class WrongPayee(Refused):
    """The voucher pays somebody else."""


class WrongTerms(Refused):
    """The terms differ from this node's offer, or from the body they came with."""


class StaleTerms(Refused):
    """`startBy` has passed, or lies too far ahead."""


class StaleGeneration(Refused):
    """The voucher names another generation than the payee's present one; read the escrow and sign anew."""


class PriceTooLow(Refused):
    """`maxPrice` buys less than the prompt and one token."""


class CeilingTooLow(Refused):
    """The lane's signed ceiling does not cover what is charged, reserved and asked."""


class CoverTooLow(Refused):
    """The pair's allotment in the escrow does not cover it."""


class LaneFrozen(Refused):
    """This lane must be resynchronised (protocol rule 6) before it is served again."""


class InProgress(Refused):
    """The same request id is being served now."""

    retryable = True


class TermsConflict(Refused):
    """The same request id came before with other terms."""


class AlreadyServed(Refused):
    """This request id was served and charged; its receipt comes with this refusal. Nothing more is charged."""


class TooLarge(Refused):
    """The body is above this node's limit."""


class NotFound(Refused):
    """Nothing here by that id."""


class Gone(Refused):
    """It was here, and was pruned after it had been served for long enough."""


class Overloaded(Refused):
    """No room before the deadline; `retry_after` seconds."""

    retryable = True


class Draining(Refused):
    """The node is going down for maintenance; another node serves."""

    retryable = True


class EngineFailed(Unavailable):
    """The engine refused, hung or died before the first token."""


class PeerRefused(EngineFailed):
    """A peer said no to a purchase before it served anything: another may say yes."""


class LedgerUnavailable(Unavailable):
    """No durable write is possible, so nothing is served."""


class BooksStale(Unavailable):
    """This node's books are older than the world (a restored backup): it signs nothing until its owner acts."""


class KeyNotHere(Unavailable):
    """What should be signed belongs to another operator key than this node's; the one named in the facts signs it."""


class LaneAhead(Unavailable):
    """The lane's last receipt is dated ahead of every clock (one jumped); a new generation of its payee cures it."""


class TowerUnavailable(Unavailable):
    """A configured watchtower does not answer: no new claim leaves this node without it."""


class ChainUnavailable(Unavailable):
    """No RPC endpoint answers, or its head is too old."""


class CallReverted(Refused):
    """A contract refuses the call; `error` is its custom error's name, the facts are the error's values."""


class TxRefused(Refused):
    """Every RPC endpoint refuses the transaction (nonce used, underpriced, no gas money); it was not sent."""


class PeerFailed(Unavailable):
    """Another node did not keep its part before the first token."""


class BadConfig(Refused):
    """A setting, key or deployment file is wrong; the message says which and what to do."""
