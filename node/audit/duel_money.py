"""How a duel ends: verdict, fees, prize, shares, bonds and slashes, worked out again and compared. Rounding burns."""

from node.audit.court import (
    APPEALED,
    FIRST_WON,
    JUDGES,
    JUDGING,
    OPENED,
    PER_MILLE,
    RETRIAL,
    SECOND_WON,
    STATES,
    VOIDED,
    Court,
    Duel,
    DueSlash,
    Trial,
)
from node.audit.crypto import hexed
from node.audit.events import Event

WINNER_PER_MILLE, JUDGES_PER_MILLE = 400, 300
HASH_BLOCKS = 256


def end_duel(court: Court, duel: Duel, event: Event) -> None:
    """A `Finalized` event: checked, and booked as the rules say."""
    outcome = _outcome(court, duel, event)
    if event.number("outcome") != outcome:
        text = f"the votes give {STATES[outcome]}, the contract says {_named(event.number('outcome'))}"
        court.report.add("AUD-083", text, duel=hexed(duel.duel_id), **event.evidence)
    right = {FIRST_WON: 1, SECOND_WON: 2}.get(outcome, 0)
    slashed, prize, share = _sentence(court, duel, event, right)
    bond_back = court.rules.bond - _pay(court, duel, duel.trial, (right, share))
    appeal_back = 0
    if duel.retrial is not None:
        appeal_back = court.rules.appeal_bond - _pay(court, duel, duel.retrial, (right, share))
    bond_back = _return(court, duel, duel.dispatcher, bond_back, is_burnt=outcome == VOIDED)
    if duel.retrial is not None:
        is_burnt = outcome == duel.trial.verdict
        appeal_back = _return(court, duel, duel.appellant, appeal_back, is_burnt=is_burnt)
    due = {"slashed": slashed, "prize": prize, "share": share, "bondBack": bond_back, "appealBack": appeal_back}
    wrong = [f"{name} is {event.number(name)}, due {amount}" for name, amount in due.items()]
    wrong = [text for text, (name, amount) in zip(wrong, due.items(), strict=True) if event.number(name) != amount]
    if wrong:
        court.report.add("AUD-084", "; ".join(wrong), duel=hexed(duel.duel_id), **event.evidence)
    for trial in (duel.trial, duel.retrial):
        if trial is not None:
            _slash_bench(court, duel, trial, (right, event.log.block_number))
    duel.state = outcome


def _named(state: int) -> str:
    return STATES[state] if state < len(STATES) else f"state {state}"


def _outcome(court: Court, duel: Duel, event: Event) -> int:
    """What it comes to; AUD-080 for an end before its time."""
    trial = duel.trial if duel.retrial is None else duel.retrial
    if duel.state in (OPENED, APPEALED):
        is_due = event.log.block_number > trial.draw_block + HASH_BLOCKS
    else:
        extra = court.rules.appeal if duel.state == JUDGING else 0
        is_due = event.at >= trial.drawn_at + court.rules.commit + court.rules.reveal + extra
    if not is_due or duel.state > RETRIAL:
        text = f"ended while it was {STATES[duel.state]}, before its time or twice"
        court.report.add("AUD-080", text, duel=hexed(duel.duel_id), **event.evidence)
    if duel.state == OPENED:
        return VOIDED
    return trial.verdict if duel.state == RETRIAL else duel.trial.verdict


def _sentence(court: Court, duel: Duel, event: Event, right: int) -> tuple[int, int, int]:
    """(slashed, prize, share); the winner's prize is booked, the slash is due."""
    if not right:
        return 0, 0, 0
    winner, loser = (duel.first, duel.second) if right == 1 else (duel.second, duel.first)
    benches = [duel.trial, *([duel.retrial] if duel.retrial else [])]
    agreeing = sum(vote == right for trial in benches for vote in trial.votes.values())
    slashed = min(court.rules.loser_slash, court.slashable(loser))
    prize = min(duel.prize, slashed * WINNER_PER_MILLE // PER_MILLE)
    share = slashed * JUDGES_PER_MILLE // PER_MILLE // agreeing
    _credit(court, duel, winner, prize)
    court.due.append(DueSlash(event.log.block_number, loser, prize + share * agreeing, slashed, duel))
    return slashed, prize, share


def _credit(court: Court, duel: Duel, account: bytes, amount: int) -> None:
    court.credit(account, amount)
    duel.paid[account] = duel.paid.get(account, 0) + amount


def _pay(court: Court, duel: Duel, trial: Trial, reward: tuple[int, int]) -> int:
    """Everybody that revealed, `reward` = (the right vote, its share); returns the fees."""
    right, share = reward
    for seat, vote in trial.votes.items():
        _credit(court, duel, trial.judges[seat], court.rules.judge_fee + (share if vote == right else 0))
    return court.rules.judge_fee * len(trial.votes)


def _return(court: Court, duel: Duel, account: bytes, left: int, *, is_burnt: bool) -> int:
    if is_burnt:
        court.burnt += left
        return 0
    _credit(court, duel, account, left)
    return left


def _slash_bench(court: Court, duel: Duel, trial: Trial, why: tuple[int, int]) -> None:
    """Silence always costs, dissent only from a verdict that names a winner. `why` = (the right vote, the block)."""
    right, block = why
    for seat, judge in enumerate(trial.judges):
        vote = trial.votes.get(seat, 0)
        amount = court.rules.silent_slash if not vote else court.rules.minority_slash if right not in (0, vote) else 0
        if amount:
            court.due.append(DueSlash(block, judge, 0, amount, duel))


def take_slash(court: Court, event: Event) -> None:
    """A `Slashed` by this contract, before the registry's books take it: exactly the next that is due."""
    paid, burnt, culprit = event.number("paid"), event.number("burnt"), event.octets("provider")
    if not court.due or (court.due[0].block, court.due[0].culprit) != (event.log.block_number, culprit):
        court.report.add("AUD-084", f"{hexed(culprit)} was slashed for nothing", **event.evidence)
        return
    due = court.due.popleft()
    asked = min(due.asked, court.slashable(culprit))
    if (paid, burnt) != (due.paid, asked - due.paid):
        text = f"{paid} paid and {burnt} burnt, due {due.paid} and {asked - due.paid}"
        court.report.add("AUD-084", text, culprit=hexed(culprit), **event.evidence)
    if due.duel is not None:
        due.duel.taken[culprit] = due.duel.taken.get(culprit, 0) + paid + burnt


def seat_of(duel: Duel, number: int) -> tuple[Trial, int]:
    """The bench a seat of an event belongs to, and its number there."""
    if number < JUDGES or duel.retrial is None:
        return duel.trial, number
    return duel.retrial, number - JUDGES
