"""Frauds and faults on the chain's side: lying endpoints, books that do not add up, broken contract rules."""

from tests.frauds.market import DAY, busy, edited, end, event_of, market, payee, settled, story

ALICE, NORTH = payee("alice"), payee("north")
TOP = f"escrow laneGeneration(address,address,address,uint32) {ALICE} {NORTH} {ALICE} 1"


@story("rpc-hides-from-one", "AUD-001", "One of two RPC endpoints leaves a settlement out.")
def _one_hides():
    world = settled()
    place = len(world.chain.events) - 1
    world.options = {"more_rpcs": ["second"], "rpc_lies": {"second": {"hides": [place]}}}
    return world


@story("rpc-hides-logs", "AUD-002", "The only RPC endpoint leaves a deposit out of eth_getLogs; its blocks have it.")
def _hides():
    world = settled()
    world.options = {"rpc_lies": {"": {"hides": [4]}}}
    return world


@story("altered-event", "AUD-003", "An event states another old amount than the event before it set.")
def _altered():
    world = settled()
    world.chain.request_thaw(ALICE, NORTH, 50_000)
    world.chain.mine(100)
    world.chain.request_thaw(ALICE, NORTH, 20_000)
    history = world.history()
    event_of(history, "ThawRequested")["args"]["oldAmount"] = 10
    return history


@story("invented-withdrawal", "AUD-003 AUD-010", "A withdrawal of more than the free balance.")
def _invented():
    history = settled().history()
    args = {"payer": ALICE, "to": ALICE, "amount": 10**6}
    history["events"].append(
        {"contract": "escrow", "name": "Withdrawn", "block": history["pinned_block"], "args": args}
    )
    return history


@story("unknown-event", "AUD-004", "The escrow emits an event that its published code does not have.")
def _unknown():
    history = settled().history()
    args = {"provider": NORTH, "amount": 5, "stake": 5}
    forged = {"contract": "registry", "name": "StakeAdded", "block": history["pinned_block"], "args": args}
    history["events"].append(forged | {"address": history["escrow"]})
    return history


@story("free-balance-taken", "AUD-010", "The escrow says a client has less free money than its deposits give.")
def _free():
    return edited(settled(), f"escrow free(address) {ALICE}", [1])


@story("allotment-shrunk", "AUD-011", "A pair's allotment is smaller than the events say.")
def _pair():
    return edited(settled(), f"escrow pairs(address,address) {payee('bob')} {NORTH}", [99_000, 0, 0, 0])


@story("lane-rewound", "AUD-012", "A lane's claimed total is lower than its settlements: it could be claimed again.")
def _lane():
    key = f"escrow laneState(address,address,address) {ALICE} {NORTH} {ALICE}"
    return edited(settled(), key, [0, 1])


@story("challenge-forgotten", "AUD-012", "The escrow forgot what a challenge gave back: it could be won a second time.")
def _forgotten():
    history = settled().history()
    history["views"][TOP][1] = 5
    return history


@story("generation-reopened", "AUD-015", "The escrow says that a closed generation is still open.")
def _reopened():
    world = settled()
    world.chain.bump(NORTH)
    history = world.history()
    history["views"][f"escrow generationState(address,uint32) {NORTH} 1"][1] = 0
    return history


@story("earnings-inflated", "AUD-013", "A payee's earnings are higher than what was paid to it.")
def _earnings():
    return edited(settled(), f"escrow earningsOf(address) {NORTH}", [0, 0, 10**6, 0])


@story("stake-vanished", "AUD-014", "A provider's stake is lower than the events say.")
def _stake():
    history = settled().history()
    history["views"][f"registry provider(address) {NORTH}"][3] = 4_000_000
    return history


@story("operator-swapped", "AUD-015", "The escrow names another operator key than the events.")
def _operator():
    history = settled().history()
    history["views"][f"escrow payees(address) {NORTH}"][0] = payee("mallory")
    return history


@story("signer-cap-raised", "AUD-016", "A signer's cap is higher than the events say.")
def _signer():
    return edited(market(), f"escrow signerState(address) {payee('laptop')}", [ALICE, 0, False, 10**9])


@story("escrow-drained", "AUD-017", "The escrow holds less currency than it owes.")
def _drained():
    world = settled()
    return edited(world, f"currency balanceOf(address) {world.chain.escrow}", [world.chain.held - 1])


@story("stakes-drained", "AUD-018", "The registry holds less currency than the stakes.")
def _stakes_drained():
    world = settled()
    return edited(world, f"currency balanceOf(address) {world.chain.registry}", [1])


@story("pair-without-lane", "AUD-019 AUD-022", "A settlement moved more out of the pair than its lane was charged.")
def _pair_sum():
    history = settled().history()
    event_of(history, "Settled")["args"]["paid"] += 7
    history["views"][f"escrow pairs(address,address) {ALICE} {NORTH}"][1] += 7
    history["views"][f"escrow earningsOf(address) {NORTH}"][2] += 7
    return history


@story("above-ceiling", "AUD-020", "A claim above every ceiling the client signed was mined.")
def _above_ceiling():
    world = busy()
    world.settle("alice", "north", ceiling=world.lane("alice", "north").charged - 1)
    return world


@story("claimed-falls", "AUD-019 AUD-021 AUD-022", "A later settlement lowers the lane's claimed total.")
def _falls():
    world = settled()
    world.serve("alice", "north")
    event = world.settle("alice", "north")
    event["args"]["claimedAfter"] = 10
    history = world.history()
    history["views"][f"escrow laneState(address,address,address) {ALICE} {NORTH} {ALICE}"] = [10, 1]
    history["views"][TOP][0] = 10
    return history


@story("paid-short", "AUD-022", "A settlement paid less than claimed although the pair had cover.")
def _paid_short():
    history = settled().history()
    args = event_of(history, "Settled")["args"]
    args["paid"] -= 5
    args["claimedAfter"] -= 5
    history["views"][f"escrow pairs(address,address) {ALICE} {NORTH}"][1] -= 5
    history["views"][f"escrow laneState(address,address,address) {ALICE} {NORTH} {ALICE}"][0] -= 5
    history["views"][TOP][0] -= 5
    history["views"][f"escrow earningsOf(address) {NORTH}"][2] -= 5
    return history


@story("stranger-signer", "AUD-023", "Settled through a signer the client never authorised.")
def _stranger():
    world = busy()
    world.serve("alice", "north", signer="mallory")
    world.settle("alice", "north", signer="mallory")
    return world


@story("revoked-signer", "AUD-023", "Settled through a signer after it was revoked.")
def _revoked():
    world = market()
    laptop = payee("laptop")
    world.serve("alice", "north", signer="laptop")
    world.chain.mine()
    end_at = world.chain.now + 12 + DAY
    world.chain.emit("escrow", "SignerThawing", payer=ALICE, signer=laptop, thawEnd=end_at)
    world.chain.mine(DAY)
    world.chain.emit("escrow", "SignerRevoked", payer=ALICE, signer=laptop)
    world.chain.signers[laptop] = [ALICE, end_at, True, 50_000]
    world.settle("alice", "north", signer="laptop")
    return world


@story("signer-above-cap", "AUD-023", "Settled above a signer's cap.")
def _above_cap():
    world = market()
    world.add_signer("alice", "phone", 10)
    world.serve("alice", "north", signer="phone")
    world.settle("alice", "north", signer="phone")
    return world


@story("closed-generation", "AUD-024", "Settled under a generation that closed longer ago than the thaw window.")
def _closed():
    world = busy()
    world.chain.bump(NORTH)
    world.chain.mine(DAY)
    world.settle("alice", "north", generation=1)
    return world


@story("sequence-from-the-future", "AUD-024", "A claim whose sequence is far ahead of the chain's clock was mined.")
def _future():
    world = market()
    seq = (world.chain.now + DAY) * 1_000_000
    return end(world, receipt={"seq": seq})


@story("early-thaw", "AUD-025", "Thawing money left before the window ended: the payee could not claim in time.")
def _early_thaw():
    world = settled()
    world.chain.request_thaw(ALICE, NORTH, 50_000)
    world.chain.mine(100)
    world.chain.finish_thaw(ALICE, NORTH)
    return world


@story("early-earnings", "AUD-026", "Earnings were collected inside the challenge window.")
def _early_earnings():
    world = settled()
    world.chain.collect(NORTH, 10)
    return world


@story("payout-redirected", "AUD-027", "Earnings went to another address than the payout in force.")
def _redirected():
    world = settled()
    world.chain.mine(2 * DAY)
    world.chain.collect(NORTH, 10)
    history = world.history()
    event_of(history, "EarningsCollected")["args"]["payout"] = payee("mallory")
    return history


def _challenged(returned: int, burnt: int, from_earnings: int):
    world = settled()
    world.chain.earnings[NORTH] -= from_earnings
    world.chain.free[ALICE] += returned
    world.chain.burnt += from_earnings - returned
    world.chain.returned[ALICE, NORTH, ALICE, 1] = returned
    world.chain.emit(
        "escrow",
        "OverclaimChallenged",
        payer=ALICE,
        payee=NORTH,
        lane=ALICE,
        generation=1,
        excess=returned,
        returned=returned,
        burnt=burnt,
        fromEarnings=from_earnings,
        challenger=ALICE,
    )
    return world


@story("convicted", "AUD-028", "A client challenged an overclaim and won: the payee was slashed.")
def _convicted():
    return _challenged(20, 20, 40)


@story("slash-keeps-change", "AUD-028 AUD-029", "More was taken from stake than the registry gave.")
def _slash():
    return _challenged(20, 30, 40)
