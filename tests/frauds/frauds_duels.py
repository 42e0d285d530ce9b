"""Honest duels, and frauds in how judges are drawn, votes opened, verdicts found and bonds paid."""

from node.core.hashing import word
from tests.differential import duels_model as rules
from tests.differential.duels_world import MODEL, REQUEST_HASH
from tests.frauds.duel_market import Court, bent, played
from tests.frauds.market import story


@story("honest-duels", "", "A duel that somebody lost, one whose judges were never drawn, and the seed revealed.")
def _duels():
    return played()


@story("honest-duel-appealed", "", "A judge is silent, the verdict is appealed, and a jury of 15 overturns it.")
def _appealed():
    court = Court()
    key = court.open()
    court.judge(key, (1, 1, 1, 1, 0))
    court.appeal(key)
    court.judge(key, (2,) * 11 + (1, 3, 4, 0), base=5)
    court.finalize(key, 0)
    return court.history()


@story("duel-window-stretched", "AUD-080", "The judges got another time to commit than the court's rules give.")
def _window():
    end = next(event for event in played()["events"] if event["name"] == "Drawn")["args"]["commitEnd"]
    return bent("Drawn", commitEnd=end + 1)


@story("duel-renamed", "AUD-080", "What a duel was about was told a second time, with another model.")
def _renamed():
    history = played()
    place, asked = next((n, event) for n, event in enumerate(history["events"]) if event["name"] == "Asked")
    history["events"].insert(place + 1, {**asked, "args": {**asked["args"], "model": "0x" + "66" * 32}})
    return history


@story("duel-drawn-on", "AUD-080 AUD-088", "The second executor came of a ninth draw, where the court allows eight.")
def _drawn_on():
    return bent("Opened", attempt=8)


@story("duel-judges-picked", "AUD-081", "The seats are not those that the hash of the draw block gives.")
def _picked():
    history = played()
    opened = next(event for event in history["events"] if event["name"] == "Opened")
    history["options"]["block_names"] = {str(opened["args"]["drawBlock"]): "another block"}
    return history


@story("duel-vote-swapped", "AUD-082", "A vote was counted that is not the one its judge had committed to.")
def _swapped():
    history = played()
    event = [event for event in history["events"] if event["name"] == "Revealed"][-1]
    data = event["tx"]["input"]
    at = 2 + 2 * (4 + 3 * 32)
    event["tx"]["input"] = data[:at] + "77" * 32 + data[at + 64 :]
    return history


@story("duel-verdict-turned", "AUD-083", "Four votes of five named a winner; the contract called it a tie.")
def _turned():
    return _first_finalized(outcome=7)


def _first_finalized(**args: object) -> dict:
    history = played()
    event = next(event for event in history["events"] if event["name"] == "Finalized")
    event["args"] |= args
    return history


@story("duel-prize-raised", "AUD-084", "The winner's prize is more than the fee it is bounded by.")
def _prize():
    return _first_finalized(prize=rules.LOSER)


@story("duel-balance-taken", "AUD-085", "The court says a judge has less than its fees and shares give.")
def _taken():
    history = played()
    key = next(key for key, row in history["views"].items() if key.startswith("duels balances") and row[0] > 0)
    history["views"][key][0] -= 1
    return history


@story("duel-court-drained", "AUD-086", "The court holds less currency than balances and bonds come to.")
def _drained():
    history = played()
    history["views"][f"currency balanceOf(address) {history['duels']}"] = [1]
    return history


@story("duel-weight-kept", "AUD-087", "A member is drawn by more weight than its stake ever had.")
def _weight():
    history = played()
    key = next(key for key in history["views"] if key.startswith("duels member"))
    history["views"][key][4] += 1
    return history


@story("duel-opponent-picked", "AUD-088", "The dispatcher duelled against a friend, not against whom its seed draws.")
def _opponent():
    court = Court()
    request = word(7)
    drawn = court.drawn_for(request)
    friend = next(who for who in court.world.members[2:8] if who != drawn)
    court.open(7, second=friend)
    court.reveal_seed()
    return court.history()


def _unrevealed() -> Court:
    court = Court()
    court.world.move(10, 2 * rules.EPOCH)
    return court


@story("seed-kept-secret", "AUD-089", "A dispatcher committed to a seed and never revealed it.")
def _secret():
    return _unrevealed().history()


@story("seed-swapped", "AUD-090", "The seed that was revealed is not the one that was committed to.")
def _seed():
    return bent("SeedRevealed", seed="0x" + "07" * 32)


@story("fault-overpaid", "AUD-089 AUD-091", "The reporter of an unrevealed seed got more than its part.")
def _fault():
    court = _unrevealed()
    world = court.world
    epoch = world.model.epoch - 2
    assert not world.duels(world.stranger, "report_unrevealed", "reportUnrevealed", court.dispatcher, epoch)
    history = court.history()
    event = next(event for event in history["events"] if event["name"] == "FaultProven")
    event["args"]["bounty"] += 1
    return history


@story("two-answers", "AUD-092", "An executor signed two different answers to one request; a stranger proved it.")
def _two():
    court = Court()
    world = court.world
    sides = [world.side(court.dispatcher, word(9), court.first, court.first, bytes([n]) * 32) for n in (1, 2)]
    sent = (court.dispatcher, word(9), [REQUEST_HASH] * 2, [MODEL] * 2, sides)
    arguments = (court.first, word(9), court.first)
    assert not world.duels(world.stranger, "report_two_answers", "reportTwoAnswers", *arguments, sent=sent)
    return court.history()
