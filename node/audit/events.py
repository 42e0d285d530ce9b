"""The events of Escrow, Registry and Duels, by hand from the interfaces, and a log turned into one frozen fact."""

from collections.abc import Mapping
from dataclasses import dataclass

from node.audit.abi import AbiValue, EventType
from node.audit.crypto import hexed, octets_of, uint_of
from node.audit.errors import MalformedError

ESCROW_EVENTS = tuple(
    EventType.of(signature)
    for signature in (
        "Deposited(address indexed payer, address indexed from, uint128 amount)",
        "Withdrawn(address indexed payer, address indexed to, uint128 amount)",
        "Allotted(address indexed payer, address indexed payee, uint128 amount, uint128 allotted)",
        "ThawRequested(address indexed payer, address indexed payee, uint128 oldAmount, uint128 newAmount, "
        "uint64 thawEnd)",
        "ThawCancelled(address indexed payer, address indexed payee, uint128 amount)",
        "ThawFinished(address indexed payer, address indexed payee, uint128 amount, uint128 allotted)",
        "SignerAuthorized(address indexed payer, address indexed signer, uint128 cap)",
        "SignerCapRaised(address indexed payer, address indexed signer, uint128 oldCap, uint128 newCap)",
        "SignerThawing(address indexed payer, address indexed signer, uint64 thawEnd)",
        "SignerRevoked(address indexed payer, address indexed signer)",
        "OperatorSet(address indexed payee, address indexed operator, address indexed oldOperator, uint32 generation)",
        "GenerationBumped(address indexed payee, address indexed by, uint32 oldGeneration, uint32 newGeneration)",
        "PayoutRequested(address indexed payee, address oldPayout, address newPayout, uint64 payoutAt)",
        "EarningsCollected(address indexed payee, address indexed payout, uint128 amount)",
        "Settled(address indexed payer, address indexed payee, address indexed lane, uint32 generation, uint64 seq, "
        "uint128 cumulative, uint128 ceiling, uint128 paid, uint128 claimedAfter, uint32 count, bytes32 root)",
        "OverclaimChallenged(address indexed payer, address indexed payee, address indexed lane, uint32 generation, "
        "uint128 excess, uint128 returned, uint128 burnt, uint128 fromEarnings, address challenger)",
    )
)
REGISTRY_EVENTS = tuple(
    EventType.of(signature)
    for signature in (
        "Registered(address indexed provider, string endpoint, bytes32 offerHash, uint128 stake)",
        "EndpointSet(address indexed provider, string oldEndpoint, string newEndpoint)",
        "OfferSet(address indexed provider, bytes32 oldOfferHash, bytes32 newOfferHash)",
        "StakeAdded(address indexed provider, uint128 amount, uint128 stake)",
        "UnstakeRequested(address indexed provider, uint128 amount, uint128 stake, uint128 unbonding, "
        "uint64 unbondEnd)",
        "Deregistered(address indexed provider, uint128 unbonding, uint64 unbondEnd)",
        "StakeWithdrawn(address indexed provider, address indexed to, uint128 amount)",
        "Slashed(address indexed provider, address indexed by, uint128 paid, uint128 burnt, uint128 stake, "
        "uint128 unbonding)",
    )
)
DUELS_EVENTS = tuple(
    EventType.of(signature)
    for signature in (
        "Funded(address indexed account, address indexed from, uint128 amount)",
        "Collected(address indexed account, address indexed to, uint128 amount)",
        "Enrolled(address indexed provider, uint16 place, address delegate)",
        "Resigned(address indexed provider)",
        "DelegateSet(address indexed provider, address oldDelegate, address newDelegate)",
        "Adopted(address indexed controller, address indexed provider)",
        "ControllerSet(address indexed provider, address oldController, address newController)",
        "Weighed(address indexed provider, uint16 place, uint32 epoch, uint64 oldWeight, uint64 newWeight)",
        "SeedCommitted(address indexed dispatcher, uint32 indexed epoch, bytes32 commitment, uint16 ratePerMille)",
        "SeedRevealed(address indexed dispatcher, uint32 indexed epoch, bytes32 seed)",
        "Opened(bytes32 indexed duelId, address indexed first, address indexed second, address dispatcher, "
        "bytes32 requestId, bytes32 firstAnswer, bytes32 secondAnswer, bytes32 evidenceRoot, bytes32 nonceCommit, "
        "uint8 attempt, uint32 epoch, uint64 drawBlock, uint96 prize)",
        "Asked(bytes32 indexed duelId, bytes32 indexed model, uint8 size)",
        "Drawn(bytes32 indexed duelId, uint256 seed, uint256 places, uint64 commitEnd)",
        "Committed(bytes32 indexed duelId, uint8 seat, address judge, bytes32 commitment)",
        "Revealed(bytes32 indexed duelId, uint8 seat, address judge, uint8 vote, bytes32 rationaleHash)",
        "AppealOpened(bytes32 indexed duelId, address indexed appellant, uint8 verdict, uint64 drawBlock)",
        "Finalized(bytes32 indexed duelId, uint8 outcome, uint128 slashed, uint128 prize, uint128 share, "
        "uint128 bondBack, uint128 appealBack)",
        "FaultProven(address indexed culprit, uint8 indexed fault, bytes32 occurrence, uint128 slashed, "
        "uint128 bounty)",
    )
)
_BY_TOPIC = {
    "duels": {event.topic: event for event in DUELS_EVENTS},
    "escrow": {event.topic: event for event in ESCROW_EVENTS},
    "registry": {event.topic: event for event in REGISTRY_EVENTS},
}


@dataclass(frozen=True, slots=True)
class Log:
    """One log as the chain gave it."""

    address: bytes
    topics: tuple[str, ...]
    payload: bytes
    block_number: int
    block_hash: bytes
    tx_hash: bytes
    index: int

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the order of all logs."""
        return (self.block_number, self.index)


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded log, and the time of its block in Unix seconds."""

    contract: str
    name: str
    args: Mapping[str, AbiValue]
    log: Log
    at: int

    def number(self, name: str) -> int:
        """An unsigned integer member."""
        value = self.args[name]
        assert isinstance(value, int)
        return value

    def octets(self, name: str) -> bytes:
        """An address or hash member."""
        value = self.args[name]
        assert isinstance(value, bytes)
        return value

    def text(self, name: str) -> str:
        """A string member."""
        value = self.args[name]
        assert isinstance(value, str)
        return value

    @property
    def evidence(self) -> dict[str, str | int]:
        """Where anyone finds this event again."""
        return {"event": self.name, "tx": hexed(self.log.tx_hash), "block": self.log.block_number}


def parse_log(document: object) -> Log:
    """A log of `eth_getLogs` or of a transaction receipt. Raises MalformedError."""
    if not isinstance(document, dict) or document.get("removed") is True:
        raise MalformedError("a removed or malformed log")
    topics = document.get("topics")
    payload = document.get("data")
    if not isinstance(topics, list) or not isinstance(payload, str):
        raise MalformedError("a log without topics or data")
    return Log(
        address=octets_of(document.get("address"), 20, "log address"),
        topics=tuple(topics),
        payload=octets_of(payload, len(payload) // 2 - 1, "log data"),
        block_number=quantity_of(document.get("blockNumber"), "blockNumber"),
        block_hash=octets_of(document.get("blockHash"), 32, "blockHash"),
        tx_hash=octets_of(document.get("transactionHash"), 32, "transactionHash"),
        index=quantity_of(document.get("logIndex"), "logIndex"),
    )


def quantity_of(text: object, what: str) -> int:
    """A JSON-RPC quantity (0x-hex). Raises MalformedError."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise MalformedError(f"{what} is not a quantity")
    try:
        return uint_of(int(text, 16), 256, what)
    except ValueError as exc:
        raise MalformedError(f"{what} is not a quantity") from exc


def decode_event(contract: str, log: Log, at: int) -> Event | None:
    """The event in a log of `contract` ("escrow", "registry" or "duels"); None for one this auditor does not know."""
    if not log.topics:
        return None
    event = _BY_TOPIC[contract].get(octets_of(log.topics[0], 32, "topic"))
    if event is None:
        return None
    return Event(contract, event.name, event.decode(log.topics, log.payload), log, at)
