"""Frauds in what a payee claims and serves for its claims."""

from dataclasses import replace

from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Receipt
from node.core.wire import message_from_json
from tests.frauds.market import DAY, busy, end, payee, settled, story
from tests.frauds.model import keccak

ALICE, NORTH = payee("alice"), payee("north")


def _leaf(entry: dict) -> bytes:
    return leaf_hash(message_from_json(Receipt, entry["receipt"]).struct_hash())


@story("settlement-hidden", "AUD-030", "The payee does not serve the receipts of a settlement.")
def _hidden():
    world = busy()
    world.settle("alice", "north", serve={"hidden": True})
    return world


@story("payee-offline", "AUD-030", "The payee's endpoint does not answer.")
def _offline():
    world = settled()
    world.options = {"down": ["north"]}
    return world


@story("endpoint-private", "AUD-031", "The payee registered an address that leads into the auditor's own network.")
def _private():
    world = settled()
    world.options = {"allow_private": False}
    return world


@story("endpoint-none", "AUD-031", "The payee was paid without ever being in the registry.")
def _none():
    world = busy()
    world.chain.set_operator(payee("west"), payee("west operator"))
    world.publish("west", world.make_offer("west", (1, 1)))
    world.chain.deposit(ALICE, 500)
    world.chain.allot(ALICE, payee("west"), 500)
    world.serve("alice", "west")
    world.settle("alice", "west")
    return world


@story("missing-receipt", "AUD-032", "The payee serves one receipt less than it settled.")
def _missing():
    world = busy()
    world.settle("alice", "north", serve={"rows": 2})
    return world


@story("extra-receipt", "AUD-032", "The payee serves more receipts than it settled.")
def _extra():
    world = busy(2)
    world.serve("alice", "north")
    books = world.lane("alice", "north")
    two = Peaks().extend(_leaf(entry) for entry in books.entries[:2])
    last = books.entries[1]["receipt"]
    claim = {"count": 2, "receipts_root": two.root, "cumulative": int(last["cumulative"]), "seq": int(last["seq"])}
    world.settle("alice", "north", claim=claim, serve={"rows": 3})
    return world


@story("hidden-row", "AUD-032 AUD-049", "A receipt in the middle is left out: the running totals do not follow.")
def _hidden_row():
    world = busy()
    entries = world.lane("alice", "north").entries
    world.settle("alice", "north", serve={"entries": [entries[0], entries[2]]})
    return world


@story("padded-id", "AUD-033", "A receipt is served with an id written in another way than the protocol's.")
def _padded():
    world = settled()
    history = world.history()
    entry = history["lanes"]["alice|north|alice|1"][2]
    entry["receipt"] = entry["receipt"] | {"payer": "0x" + "00" * 12 + ALICE[2:]}
    return history


@story("voucher-withheld", "AUD-033", "The payee serves a receipt without the voucher that justifies it.")
def _withheld():
    history = settled().history()
    entries = history["lanes"]["alice|north|alice|1"]
    entries[0] = {name: entries[0][name] for name in ("receipt", "signature", "terms")}
    return history


@story("wrong-root", "AUD-034", "The claim's root is not that of the receipts.")
def _wrong_root():
    world = busy()
    world.settle("alice", "north", claim={"receipts_root": keccak(b"another tree")})
    return world


@story("reordered-leaves", "AUD-034", "The root was built over the receipts in another order.")
def _reordered():
    world = busy()
    entries = world.lane("alice", "north").entries
    root = Peaks().extend(_leaf(entry) for entry in reversed(entries)).root
    world.settle("alice", "north", claim={"receipts_root": root})
    return world


@story(
    "rewritten-history",
    "AUD-035",
    "After a settlement a receipt was rewritten: the later root does not extend the earlier.",
)
def _rewritten():
    world = settled()
    books = world.lane("alice", "north")
    old = message_from_json(Receipt, books.entries[1]["receipt"])
    new = replace(old, response_hash=keccak(b"another answer"))
    books.entries[1] = world.resigned(books.entries[1], new, "north")
    books.peaks = Peaks().extend(_leaf(entry) for entry in books.entries)
    return end(world)


@story("claim-forged", "AUD-036", "The claim that is served was not signed by the operator.")
def _forged():
    world = busy()
    world.settle("alice", "north", signed_by="mallory")
    return world


@story("claim-swapped", "AUD-036", "The claim that is served is not the one that was mined.")
def _swapped():
    world = settled()
    history = world.history()
    for settlement in history["settlements"].values():
        settlement["claim"] = settlement["claim"] | {"cumulative": "1"}
        settlement["claimSignature"] = world.sign_claim(settlement["claim"], "north operator")
    return history


@story("over-claim", "AUD-037", "The payee claimed more than its receipts add up to, inside the signed ceiling.")
def _over_claim():
    world = busy()
    books = world.lane("alice", "north")
    books.ceiling += 100
    world.settle("alice", "north", claim={"cumulative": books.charged + 50})
    return world


@story("claim-without-receipts", "AUD-037", "A claim of zero receipts.")
def _no_receipts():
    world = busy()
    world.settle("alice", "north", claim={"count": 0, "receipts_root": bytes(32)})
    return world


@story(
    "challenge-proof-sequence",
    "AUD-037",
    "The claim's sequence is later than its last receipt, so that none can contradict it.",
)
def _late_sequence():
    world = busy()
    seq = world.lane("alice", "north").seq
    world.settle("alice", "north", claim={"seq": seq + 1_000_000})
    return world


@story("pruned-with-wrong-peaks", "AUD-034 AUD-038", "Old receipts were dropped and other peaks put in their place.")
def _wrong_peaks():
    world = settled(3)
    world.serve("alice", "north")
    peaks = ["0x" + keccak(text).hex() for text in (b"a", b"b")]
    world.settle("alice", "north", serve={"pruned_before": 3, "peaks": peaks})
    world.chain.mine(91 * DAY)
    return world


@story("pruned-too-early", "AUD-032", "Receipts were dropped before 90 days had passed.")
def _pruned_early():
    world = settled(3)
    world.serve("alice", "north")
    world.settle("alice", "north", serve={"pruned_before": 3})
    return world


@story("settled-receipt-hidden", "AUD-070", "A client holds a receipt that the settled tree does not have.")
def _held_hidden():
    world = busy()
    world.held = [world.serve("alice", "north", omit=True)]
    world.chain.mine()
    world.serve("alice", "north")
    world.settle("alice", "north")
    return world


@story("receipt-forgotten", "AUD-070", "The payee lost an unsettled receipt that it had given to the client.")
def _forgotten():
    world = settled()
    world.held = [world.serve("alice", "north", omit=True)]
    world.options = {"receipts": True}
    return world


@story("two-stories", "AUD-071", "The payee gave the client one receipt and settled another for the same request.")
def _two_stories():
    world = busy()
    books = world.lane("alice", "north")
    old = message_from_json(Receipt, books.entries[1]["receipt"])
    world.held = [world.resigned(books.entries[1], replace(old, response_hash=keccak(b"other")), "north")]
    world.settle("alice", "north")
    return world


@story("falling-total", "AUD-071 AUD-072", "Two receipts a client holds: the later one says less.")
def _falling():
    world = settled()
    entries = world.lane("alice", "north").entries
    last = message_from_json(Receipt, entries[2]["receipt"])
    later = replace(last, seq=last.seq + 5, request_id=keccak(b"later"), cumulative=last.cumulative - 40)
    entry = world.resigned(entries[2], later, "north")
    world.held = [entries[2], {name: entry[name] for name in ("receipt", "signature")}]
    return world


@story(
    "provable-over-claim",
    "AUD-037 AUD-072",
    "The client's last receipt says less than was claimed: it can be challenged.",
)
def _provable():
    world = busy()
    books = world.lane("alice", "north")
    books.ceiling += 100
    world.held = [books.entries[-1]]
    world.settle("alice", "north", claim={"cumulative": books.charged + 50})
    return world


@story("totals-invented", "AUD-073", "The node states another running total than its receipts have.")
def _totals():
    world = settled()
    world.serve("alice", "north")
    world.options = {"receipts": True, "lane_totals": {"charged": "777777", "bestCeiling": "999999"}}
    return world


@story("unsettled-withheld", "AUD-074", "The node does not serve the receipts it has not settled yet.")
def _unsettled():
    world = settled()
    world.serve("alice", "north")
    world.options = {"receipts": True, "hides_receipts": True}
    return world


@story("served-without-cover", "AUD-053", "Receipts above every ceiling the client signed: they can never be settled.")
def _unauthorised():
    world = busy()
    books = world.lane("alice", "north")
    world.serve("alice", "north", voucher={"ceiling": books.ceiling})
    world.options = {"receipts": True}
    return world
