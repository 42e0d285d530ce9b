"""Frauds in a single receipt, its voucher, its terms, and the offer they quote."""

from node.core.hashing import Domain
from tests.frauds.market import DAY, busy, end, market, payee, settled, story
from tests.frauds.model import keccak
from tests.frauds.world import address_of_key, sign

NORTH = payee("north")
MALLORY = address_of_key("mallory")


def _cumulative(world, charge: int) -> dict:
    return {"charge": charge, "cumulative": world.lane("alice", "north").charged + charge}


@story("receipt-forged", "AUD-040", "A receipt signed by somebody else than the operator.")
def _receipt_forged():
    return end(busy(), signed_by={"receipt": "mallory"})


@story("receipt-old-operator", "AUD-040", "A receipt of a new generation signed with the retired operator key.")
def _old_operator():
    world = settled()
    world.chain.set_operator(NORTH, payee("south operator"))
    lane = world.lane("alice", "north")
    lane.charged = lane.ceiling = world.lane("alice", "north", generation=1).charged
    world.serve("alice", "north")
    world.settle("alice", "north", signed_by="south operator")
    return world


@story("signature-malleated", "AUD-040", "The receipt's signature written a second way (high s).")
def _malleated():
    history = settled().history()
    entry = history["lanes"]["alice|north|alice|1"][0]
    raw = bytes.fromhex(entry["signature"][2:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(raw[32:64], "big")
    entry["signature"] = "0x" + (raw[:32] + high.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()
    return history


@story("voucher-forged", "AUD-041", "The voucher was not signed by the lane it is charged to.")
def _voucher_forged():
    return end(busy(), signed_by={"voucher": "mallory"})


@story("voucher-other-chain", "AUD-041", "A voucher that the client signed for another chain.")
def _other_chain():
    world = busy()
    entry = world.serve("alice", "north")
    foreign = Domain.of(1, bytes.fromhex(world.chain.escrow[2:]))
    entry["voucherSignature"] = sign("alice", foreign.digest(world.voucher_hash(entry)))
    world.settle("alice", "north")
    return world


@story("voucher-other-payee", "AUD-042", "A voucher that the client signed for another provider.")
def _other_payee():
    return end(busy(), voucher={"payee": address_of_key("south")}, receipt={"payee": address_of_key("north")})


@story("voucher-old-generation", "AUD-042", "A voucher of an older generation was used again.")
def _old_generation():
    world = settled()
    world.chain.bump(NORTH)
    lane = world.lane("alice", "north")
    lane.charged = lane.ceiling = world.lane("alice", "north", generation=1).charged
    return end(world, voucher={"generation": 1}, receipt={"generation": 2})


@story("context-swapped", "AUD-043", "The receipt names another context than the voucher.")
def _context():
    return end(busy(), receipt={"context": keccak(b"other terms")})


@story("terms-swapped", "AUD-043", "Other terms are served than the client signed.")
def _terms():
    history = settled().history()
    entry = history["lanes"]["alice|north|alice|1"][1]
    entry["terms"] = entry["terms"] | {"maxPrice": "99999"}
    return history


@story("request-swapped", "AUD-044", "The receipt is for another request than the terms.")
def _request():
    return end(busy(), receipt={"request_hash": keccak(b"another body")})


@story("re-priced", "AUD-045", "A receipt charges more than price times tokens, within maxPrice.")
def _repriced():
    world = busy()
    return end(world, receipt=_cumulative(world, 50))


@story("rounded-twice", "AUD-045", "Prompt and completion were rounded up apart: one base unit too much.")
def _rounded():
    world = busy()
    return end(world, tokens=(41, 61), receipt=_cumulative(world, 46))


@story("above-max-price", "AUD-045 AUD-047", "A receipt charges more than the client agreed to at most.")
def _above_max():
    world = busy()
    world.lane("alice", "north").ceiling += 1_000
    return end(world, receipt=_cumulative(world, 500))


@story("under-charged", "AUD-046", "A receipt charges less than the formula: the node's operator loses.")
def _under():
    world = busy()
    return end(world, receipt=_cumulative(world, 3))


@story("failed-but-billed", "AUD-048", "A request that failed was billed.")
def _failed():
    return end(busy(), status=3)


@story("nothing-delivered", "AUD-048", "Not one token was delivered, the prompt was billed.")
def _nothing():
    return end(busy(), tokens=(40, 0), status=2)


@story("status-invented", "AUD-048", "A receipt with a status that does not exist.")
def _status():
    return end(busy(), status=9)


@story("total-jumps", "AUD-049", "The running total rises by more than the charge.")
def _jumps():
    world = busy()
    books = world.lane("alice", "north")
    books.ceiling += 1_000
    return end(world, receipt={"cumulative": books.charged + 144})


@story("gap-in-totals", "AUD-049", "A charge that has no receipt was slipped in between two receipts.")
def _gap():
    world = busy()
    books = world.lane("alice", "north")
    books.charged += 30
    books.ceiling += 1_000
    return end(world)


@story("sequence-repeats", "AUD-050", "Two receipts of a lane have the same sequence.")
def _repeats():
    world = busy()
    return end(world, receipt={"seq": world.lane("alice", "north").seq})


@story("duplicated-request", "AUD-051", "One request id was charged twice, under fresh terms.")
def _duplicated():
    world = busy()
    return end(world, terms={"request_id": keccak(b"request 1")})


@story("double-charge", "AUD-051", "The same voucher was used for two receipts.")
def _double():
    world = busy()
    books = world.lane("alice", "north")
    entry = world.serve("alice", "north")
    receipt = dict(entry["receipt"])
    world.replayed(entry, int(receipt["charge"]), books)
    world.settle("alice", "north")
    return world


@story("charged-in-both-generations", "AUD-051", "A request of the closed generation was charged again in the new one.")
def _both():
    world = settled()
    world.chain.bump(NORTH)
    lane = world.lane("alice", "north")
    lane.charged = lane.ceiling = world.lane("alice", "north", generation=1).charged
    return end(world, terms={"request_id": keccak(b"request 1")})


@story("base-invented", "AUD-052", "The first receipt of a lane starts above zero.")
def _base():
    world = market()
    books = world.lane("alice", "north")
    books.charged = books.ceiling = 700
    return end(world)


@story("base-above-owed", "AUD-052", "A new generation starts above what was owed in the old one.")
def _base_above():
    world = settled()
    world.chain.bump(NORTH)
    lane = world.lane("alice", "north")
    lane.charged = lane.ceiling = world.lane("alice", "north", generation=1).charged + 90
    return end(world)


@story("receipt-of-another-lane", "AUD-054", "Another client's request stands in this client's tree.")
def _another_lane():
    return end(busy(), receipt={"payer": address_of_key("bob")})


@story("offer-unregistered", "AUD-060", "The quoted offer never stood in the registry.")
def _unregistered():
    world = busy()
    world.publish("north", world.make_offer("north", (900_000, 900_000), number=2))
    return end(world)


@story("offer-withheld", "AUD-061", "The quoted offer is not served.")
def _withheld():
    history = settled().history()
    history["offers"] = {}
    return history


@story("offer-altered", "AUD-062", "Under the quoted hash another offer is served.")
def _altered():
    history = settled().history()
    for document in history["offers"].values():
        document["offer"]["minimumBudget"] = "5"
    return history


@story("offer-unsigned", "AUD-063", "The offer is signed by somebody else.")
def _unsigned():
    world = settled()
    offer = world.offers["north"][0]
    world.publish("north", offer, signature=sign("mallory", world.domain.digest(offer.struct_hash())))
    return world


@story("price-not-offered", "AUD-064", "The terms have another price than the offer they quote.")
def _price():
    return end(busy(), terms={"price_completion": 700_000}, receipt=None)


@story("tokenizer-swapped", "AUD-064", "The terms count tokens with another tokenizer than the offer's.")
def _tokenizer():
    return end(busy(), terms={"tokenizer": keccak(b"a tokenizer that counts double")})


@story("model-not-offered", "AUD-065", "The quoted offer does not sell this model.")
def _model():
    return end(busy(), terms={"model": keccak(b"gpt-9")})


@story("offer-expired", "AUD-066", "The terms quote an offer that had run out.")
def _expired():
    world = busy()
    world.chain.mine(40 * DAY)
    return end(world)


@story("offer-after-the-fact", "AUD-066", "The offer was put into the registry only after it had been settled.")
def _after():
    world = busy()
    offer = world.make_offer("north", (900_000, 900_000), number=2)
    world.publish("north", offer)
    world.serve("alice", "north")
    world.settle("alice", "north")
    world.chain.set_offer(NORTH, "0x" + offer.struct_hash().hex())
    return world


@story("offer-replaced", "AUD-066", "The terms quote an offer that was replaced hours before.")
def _replaced():
    world = busy()
    newer = world.make_offer("north", (100, 100), number=2)
    world.chain.set_offer(NORTH, "0x" + newer.struct_hash().hex())
    world.chain.mine(3 * 3600)
    return end(world)


def _answered(answer: dict | None = None, key: str = "north operator"):
    """A request of another node's, answered with the executor's word, `answer` bending it before it is signed."""
    world = busy()
    entry = world.serve("alice", "north", terms={"hops": 1}, answer=answer or {}, signed_by={"answer": key})
    assert entry["answer"]
    world.settle("alice", "north")
    return world


@story("honest-answers", "", "Requests of another node, each with its executor's signed answer.")
def _honest_answers():
    return _answered()


@story("answer-unsigned", "AUD-055", "The executor's answer is signed by somebody else.")
def _answer_unsigned():
    return _answered(key="mallory")


@story("answer-of-another-request", "AUD-055", "The receipt names the executor's answer to another request.")
def _answer_of_another():
    return _answered({"request_id": keccak(b"another request")})


@story("answer-missing", "AUD-055", "A whole answer to another node, for which the executor vouches with nothing.")
def _answer_missing():
    return end(busy(), terms={"hops": 1})
