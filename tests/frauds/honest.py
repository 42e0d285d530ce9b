"""Histories in which nothing is wrong, however unusual: the auditor must stay silent."""

from tests.frauds.market import DAY, busy, end, event_of, payee, settled, story


@story("honest-plain", "", "Requests of two clients to two providers, settled in several claims.")
def _plain():
    world = settled()
    world.serve("bob", "north", (20, 9), status=2)
    world.serve("bob", "north", (0, 0), status=3)
    world.serve("bob", "north", (30, 5), status=4)
    world.settle("bob", "north")
    world.serve("alice", "south")
    return end(world)


@story("honest-signer", "", "A further signer has a lane of its own in the same pair.")
def _signer():
    world = settled()
    world.serve("alice", "north", signer="laptop")
    world.settle("alice", "north", signer="laptop")
    return world


@story(
    "honest-generations", "", "A new generation starts at what was owed, unsettled receipts of the old one included."
)
def _generations():
    world = settled()
    world.serve("alice", "north")
    owed = world.lane("alice", "north").charged
    world.chain.bump(payee("north"))
    lane = world.lane("alice", "north")
    lane.charged = lane.ceiling = owed
    world.serve("alice", "north")
    world.settle("alice", "north")
    return world


@story("honest-part-paid", "", "The allotment ran out: a claim is paid in part, later the same claim again.")
def _part_paid():
    world = busy()
    world.add_payer("carol", {"north": 20})
    world.serve("carol", "north")
    world.settle("carol", "north")
    world.chain.deposit(payee("carol"), 500)
    world.chain.allot(payee("carol"), payee("north"), 500)
    world.settle("carol", "north")
    return world


@story("honest-thaw", "", "A client takes its unspent money back after the thaw window.")
def _thaw():
    world = settled()
    world.chain.request_thaw(payee("alice"), payee("north"), 50_000)
    world.chain.mine(DAY)
    world.chain.finish_thaw(payee("alice"), payee("north"))
    world.chain.withdraw(payee("alice"))
    return world


@story("honest-earnings", "", "Earnings are collected after the hold time, while a new offer is in force.")
def _earnings():
    world = settled()
    world.chain.mine(2 * DAY)
    world.chain.collect(payee("north"), world.chain.earnings[payee("north")])
    offer = world.make_offer("north", (300_000, 700_000), number=2)
    world.publish("north", offer)
    world.chain.set_offer(payee("north"), "0x" + offer.struct_hash().hex())
    return end(world)


@story(
    "honest-pruned", "", "Receipts before a settlement of more than 90 days ago were dropped; the peaks stand for them."
)
def _pruned():
    world = settled(3)
    world.serve("alice", "north")
    world.settle("alice", "north", serve={"pruned_before": 3})
    world.chain.mine(91 * DAY)
    return world


@story("honest-look-alike", "", "A stranger's contract emits the same events: they must not count.")
def _look_alike():
    world = settled()
    history = world.history()
    forged = event_of(history, "Settled")
    forged = forged | {"address": payee("mallory"), "args": forged["args"] | {"paid": 10**9}}
    history["events"].append(forged)
    return history


@story("honest-new-operator", "", "The operator key changes: old receipts stay good under their own generation.")
def _new_operator():
    world = settled()
    world.chain.set_operator(payee("north"), payee("north operator"))
    lane = world.lane("alice", "north")
    lane.charged = lane.ceiling = world.lane("alice", "north", generation=1).charged
    return end(world)


@story("honest-held", "", "A client's own receipts agree with what was settled; the unsettled ones are served too.")
def _held():
    world = settled()
    world.serve("alice", "north")
    world.held = list(world.lane("alice", "north").entries)
    world.options = {"receipts": True}
    return world


@story("honest-two-endpoints", "", "Two RPC endpoints agree.")
def _two_endpoints():
    world = settled()
    world.options = {"more_rpcs": ["second"]}
    return world


@story("honest-reserve-cap", "", "The answer cost more than was reserved: the charge stops at maxPrice.")
def _reserve_cap():
    world = busy()
    most = 40
    charged = world.lane("alice", "north").charged + most
    return end(world, terms={"max_price": most}, receipt={"charge": most, "cumulative": charged})
