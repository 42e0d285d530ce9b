"""What attacks on duels earn against honest play, at every shipped setting: exact sums over seats, by the node's rules.

A coalition holds a share of all stake. It knows its own seats before it votes (commit-reveal hides only the
others'), so it lies only when it holds enough seats to decide, and votes honestly otherwise: the best it can do.
"""

from dataclasses import dataclass, replace
from math import comb

from node.core.duels import BURN, DuelTerms, Parties, Vote, payouts
from node.core.types import Address, Amount
from node.sim.experiments.base import Options, Section, Table

SHARES = (0.1, 0.2, 0.3, 0.4)
REQUEST_FEE = Amount(10)
APPEAL_RATE = 0.9
"""Share of wrong verdicts that are appealed: nodes do it by themselves, one in ten is offline for a day."""
JURY, JURY_AGREEMENT = 15, 10
SHIPPED = {
    "default (5 judges, 4 agree, slash 20)": DuelTerms(),
    "gentle (slash 10)": replace(DuelTerms(), loser_slash=Amount(10)),
    "strict (slash 40)": replace(
        DuelTerms(), loser_slash=Amount(40), minority_slash=Amount(15), silent_slash=Amount(15)
    ),
    "seven judges, 6 agree": replace(DuelTerms(), judges=7, agreement=6, void_votes=4, bond=Amount(7)),
}
PAPER_STAKE = 100
TEXT = f"""\
Net gain per duel in base units (a request costs {REQUEST_FEE}), against playing honestly.
`executor`: the coalition has one executor and some judges. `self-dealing`: it also has the dispatcher, and opens
duels it would not otherwise open. `grinding`: the same as `executor` with two tries at the judges (one block
withheld, D7). `shield`: the executor really is worse and wants to escape the slash. A wrong verdict is appealed
with probability
{APPEAL_RATE:.0%} to a jury of {JURY}. The last column is the appeal rate below which `executor` would start to pay: the
bound rests on victims' nodes appealing by themselves, and the table says how much.

Under the paper's rule the dispatcher draws the judges, tallies and settles alone, and the winner takes the loser's
whole stake: a dispatcher with one executor of its own gains it with certainty, and the coalition needs no stake at
all.
"""

COALITION, HONEST = Address(b"\xcc" * 20), Address(b"\xaa" * 20)
VICTIM = Address(b"\xbb" * 20)
MINE, DISPATCHER = Address(b"\xce" * 20), Address(b"\xdd" * 20)
OURS = (COALITION, MINE)


@dataclass(frozen=True, slots=True)
class Earned:
    """Net gain per duel of each attack."""

    executor: float
    self_dealing: float
    grinding: float
    shield: float
    break_even_appeals: float


def control_chance(judges: int, agreement: int, share: float) -> float:
    """Chance that at least `agreement` of `judges` seats, drawn with replacement, belong to the coalition."""
    return sum(
        comb(judges, held) * share**held * (1 - share) ** (judges - held) for held in range(agreement, judges + 1)
    )


def attack(terms: DuelTerms, share: float) -> Earned:
    """All attacks at one setting."""
    executor = _expected(terms, share, APPEAL_RATE, tries=1)
    outsiders = (1.0 - share) * terms.judges * terms.judge_fee
    return Earned(
        executor=executor,
        self_dealing=executor - outsiders - REQUEST_FEE,
        grinding=_expected(terms, share, APPEAL_RATE, tries=2) - terms.bond,
        shield=_expected(terms, share, APPEAL_RATE, tries=1, honest=Vote.SECOND),
        break_even_appeals=_break_even(terms, share),
    )


def _expected(terms: DuelTerms, share: float, appeals: float, *, tries: int, honest: Vote = Vote.TIE) -> float:
    """Mean gain over the seats the coalition may get: it attacks only when it decides."""
    total = 0.0
    for held in range(terms.agreement, terms.judges + 1):
        one = comb(terms.judges, held) * share**held * (1 - share) ** (terms.judges - held)
        chance = 1.0 - (1.0 - one) ** tries
        unpunished = _gain(terms, held, Vote.FIRST, honest) - _gain(terms, held, honest, honest)
        jury = control_chance(JURY, JURY_AGREEMENT, share)
        overturned = -held * terms.minority_slash
        total += chance * ((1.0 - appeals * (1.0 - jury)) * unpunished + appeals * (1.0 - jury) * overturned)
    return total


def _gain(terms: DuelTerms, held: int, lie: Vote, truth: Vote) -> float:
    """What the coalition's members get from one duel in which its `held` judges vote `lie` and the others `truth`."""
    seats = [COALITION] * held + [HONEST] * (terms.judges - held)
    votes = {seat: lie if seat < held else truth for seat in range(terms.judges)}
    parties = Parties(DISPATCHER, MINE, VICTIM, REQUEST_FEE)
    moved = payouts(parties, seats, votes, terms)
    assert sum(moved.values()) == 0, BURN
    return float(sum(moved.get(party, 0) for party in OURS))


def _break_even(terms: DuelTerms, share: float) -> float:
    low, high = 0.0, 1.0
    if _expected(terms, share, 0.0, tries=1) <= 0:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _expected(terms, share, middle, tries=1) > 0 else (low, middle)
    return high


def all_attacks() -> list[tuple[str, float, Earned]]:
    """Every shipped setting and share."""
    return [(name, share, attack(terms, share)) for name, terms in SHIPPED.items() for share in SHARES]


def count_profitable(rows: list[tuple[str, float, Earned]]) -> int:
    """Attacks with a gain at some setting, of all in the table."""
    return sum(
        gain > 0
        for _, _, earned in rows
        for gain in (earned.executor, earned.self_dealing, earned.grinding, earned.shield)
    )


def coalitions(options: Options) -> Section:  # noqa: ARG001  # every experiment takes the options
    """The table, and the paper's line for comparison."""
    found = all_attacks()
    rows = [_our_row(name, share, earned) for name, share, earned in found]
    rows.extend(_paper_row(share) for share in SHARES)
    columns = ("executor", "self-dealing", "grinding", "shield", "break-even appeals")
    return Section(
        slug="coalitions",
        title="Coalitions against duels",
        answers="net gain of a 20-40 % coalition of dispatcher, executor and judges (stated by nobody)",
        text=TEXT,
        tables=(Table(("setting", "share", "controls verdict", *columns), tuple(rows)),),
        numbers={"profitable": count_profitable(found), "settings": len(SHIPPED) * len(SHARES)},
    )


def _our_row(name: str, share: float, earned: Earned) -> tuple[str, ...]:
    chance = control_chance(SHIPPED[name].judges, SHIPPED[name].agreement, share)
    gains = (earned.executor, earned.self_dealing, earned.grinding, earned.shield)
    return (
        name,
        f"{share:.0%}",
        f"{chance:.2%}",
        *(f"{gain:+.2f}" for gain in gains),
        f"{earned.break_even_appeals:.0%}",
    )


def _paper_row(share: float) -> tuple[str, ...]:
    chance = control_chance(3, 2, share)
    gain, alone = f"{chance * PAPER_STAKE:+.2f}", f"{PAPER_STAKE - 2 * float(REQUEST_FEE):+.2f}"
    name = f"the paper's rule, stake {PAPER_STAKE}, majority of 3"
    return name, f"{share:.0%}", f"{chance:.2%}", gain, alone, "-", gain, "no appeal"
