"""What attacks on duels earn against honest play, at every shipped setting: exact sums over seats, by the node's rules.

A coalition holds a share of all stake. It knows its own seats before it votes (commit-reveal hides only the
others'), so it lies only when it holds enough seats to decide, and votes honestly otherwise: the best it can do.
"""

from dataclasses import astuple, dataclass, replace
from math import comb

from node.core.duels import BURN, DuelTerms, Parties, Vote, payouts
from node.core.types import Address, Amount
from node.sim.experiments.base import Figure, Options, Section, Table
from node.sim.figures import Labels, draw_lines, panels, save

SHARES = (0.1, 0.2, 0.3, 0.4)
REQUEST_FEE = Amount(10)
APPEAL_RATE = 0.9
"""Share of wrong verdicts that are appealed: nodes do it by themselves, one in ten is offline for a day."""
APPEAL_RATES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
JURY, JURY_AGREEMENT = 15, 10
IDENTITIES = 20
JUDGE_ACCURACY, CANARIES, EFFORT = 0.8, 0.5, 0.5
"""An honest judge's accuracy, the share of canaries among its duels, what reading both answers costs it."""
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
Net gain per duel in base units (a request costs {REQUEST_FEE}), against playing honestly. The coalition holds the share
of all stake, knows its own seats before it votes, and lies only when it decides: the best it can do.

`executor`: one executor and some judges. `splitting`: the same by one controller behind {IDENTITIES} identities, one of
which executes (as one identity its judges would be excluded). `self-dealing`: it also has the dispatcher, and opens
duels it would not otherwise open. `grinding`: `executor` with two tries at the judges (one block withheld, D7).
`shield`: the executor really is worse and wants to escape the slash. `wash trading`: it pays itself for requests nobody
wants, and the committed sample makes some of them duels with outsiders; stake, not turnover, decides draws, so there is
nothing on the other side. `thrown win`: both executors are its own and one loses on purpose to lift the other's rating.
`lazy`: a judge flips a coin and saves an effort of {EFFORT:g} a duel; half its duels are canaries, and honest judges
are right with probability {JUDGE_ACCURACY:g}.

**Assumed appeal rate: {APPEAL_RATE:.0%}** of wrong verdicts go to a jury of {JURY} (nodes appeal by themselves; one in
ten is offline for the window). `break-even` is the appeal rate below which `executor` would start to pay, and the
second table shows the gain at every rate: the bound rests on victims' nodes appealing. Without any appeal, controlling
the first verdict pays at every share; that is why duels stay off where nobody watches.

Under the paper's rule the dispatcher draws the judges, tallies and settles alone, and the winner takes the loser's
whole stake: a dispatcher with one executor of its own gains it with certainty, and the coalition needs no stake at
all.
"""

COALITION, HONEST = Address(b"\xcc" * 20), Address(b"\xaa" * 20)
VICTIM = Address(b"\xbb" * 20)
MINE, DISPATCHER = Address(b"\xce" * 20), Address(b"\xdd" * 20)
OURS = (COALITION, MINE)


ATTACKS = (
    "executor", "splitting", "self-dealing", "grinding", "shield", "wash trading", "thrown win", "lazy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Earned:
    """Net gain per duel of each attack, in the order of ATTACKS."""

    executor: float
    splitting: float
    self_dealing: float
    grinding: float
    shield: float
    wash_trading: float
    thrown_win: float
    lazy: float


def control_chance(judges: int, agreement: int, share: float) -> float:
    """Chance that at least `agreement` of `judges` seats, drawn with replacement, belong to the coalition."""
    return sum(
        comb(judges, held) * share**held * (1 - share) ** (judges - held) for held in range(agreement, judges + 1)
    )


def attack(terms: DuelTerms, share: float) -> Earned:
    """All attacks at one setting."""
    executor = _expected(terms, share, APPEAL_RATE, tries=1)
    outsiders = (1.0 - share) * terms.judges * terms.judge_fee
    still_judging = share * (1.0 - 1.0 / IDENTITIES) / (1.0 - share / IDENTITIES)
    return Earned(
        executor=executor,
        splitting=_expected(terms, still_judging, APPEAL_RATE, tries=1),
        self_dealing=executor - outsiders - REQUEST_FEE,
        grinding=_expected(terms, share, APPEAL_RATE, tries=2) - terms.bond,
        shield=_expected(terms, share, APPEAL_RATE, tries=1, honest=Vote.SECOND),
        wash_trading=-outsiders - (1.0 - share) * REQUEST_FEE,
        thrown_win=_thrown_win(terms, share) - outsiders,
        lazy=_judge_profit(terms, 0.5) - (_judge_profit(terms, JUDGE_ACCURACY) - EFFORT),
    )


def _thrown_win(terms: DuelTerms, share: float) -> float:
    """What a coalition keeps of a slash between two executors of its own, honest judges agreeing."""
    seats = [HONEST] * terms.judges
    moved = payouts(
        Parties(DISPATCHER, MINE, COALITION, REQUEST_FEE), seats, dict.fromkeys(range(terms.judges), Vote.FIRST), terms
    )
    to_judges = moved.get(HONEST, 0) - terms.judges * terms.judge_fee
    return float(moved.get(MINE, 0) + moved.get(COALITION, 0)) + share * to_judges


def _judge_profit(terms: DuelTerms, accuracy: float) -> float:
    """Mean earnings of one judge per duel, the others honest, half of the duels canaries."""
    canary = terms.judge_fee - (1.0 - accuracy) * terms.minority_slash
    others, verdicts = terms.judges - 1, 0.0
    for right in range(others + 1):
        chance = comb(others, right) * JUDGE_ACCURACY**right * (1.0 - JUDGE_ACCURACY) ** (others - right)
        for own, likely in ((Vote.FIRST, accuracy), (Vote.SECOND, 1.0 - accuracy)):
            votes = dict(enumerate([own] + [Vote.FIRST] * right + [Vote.SECOND] * (others - right)))
            seats = [MINE] + [HONEST] * others
            moved = payouts(Parties(DISPATCHER, VICTIM, COALITION, REQUEST_FEE), seats, votes, terms)
            verdicts += chance * likely * moved.get(MINE, 0)
    return CANARIES * canary + (1.0 - CANARIES) * verdicts


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


def break_even(terms: DuelTerms, share: float) -> float:
    """The appeal rate below which `executor` pays."""
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
    return sum(gain > 0 for _, _, earned in rows for gain in astuple(earned))


def sensitivity() -> dict[str, list[float]]:
    """Gain of `executor` by appeal rate, at the default setting, for each share."""
    terms = next(iter(SHIPPED.values()))
    return {f"{share:.0%}": [_expected(terms, share, rate, tries=1) for rate in APPEAL_RATES] for share in SHARES}


def coalitions(options: Options) -> Section:
    """The table, and the paper's line for comparison."""
    found, curves = all_attacks(), sensitivity()
    rows = [_our_row(name, share, earned) for name, share, earned in found]
    rows.extend(_paper_row(share) for share in SHARES)
    appeals = tuple((f"{name} of stake", *(f"{gain:+.2f}" for gain in line)) for name, line in curves.items())
    _draw(options, curves)
    return Section(
        slug="coalitions",
        title="Coalitions against duels",
        answers="net gain of a 20-40 % coalition of dispatcher, executor and judges (stated by nobody)",
        text=TEXT,
        tables=(
            Table(("setting", "share", "controls verdict", *ATTACKS, "break-even appeals"), tuple(rows)),
            Table(("`executor`, default setting", *(f"{rate:.0%} appealed" for rate in APPEAL_RATES)), appeals),
        ),
        figures=(
            Figure("coalitions.png", "What deciding the first verdict earns, by the share of wrong verdicts appealed."),
        ),
        numbers={
            "profitable": count_profitable(found),
            "settings": len(found),
            "appeal_rate": APPEAL_RATE,
            "attacks": list(ATTACKS),
            "gains": [
                {"setting": name, "share": share, "gain": list(astuple(earned))} for name, share, earned in found
            ],
            "appeal_rates": list(APPEAL_RATES),
            "executor_by_appeals": curves,
        },
    )


def _our_row(name: str, share: float, earned: Earned) -> tuple[str, ...]:
    terms = SHIPPED[name]
    chance = control_chance(terms.judges, terms.agreement, share)
    gains = (f"{gain:+.2f}" for gain in astuple(earned))
    return name, f"{share:.0%}", f"{chance:.2%}", *gains, f"{break_even(terms, share):.0%}"


def _paper_row(share: float) -> tuple[str, ...]:
    chance = control_chance(3, 2, share)
    gain, alone = f"{chance * PAPER_STAKE:+.2f}", f"{PAPER_STAKE - 2 * float(REQUEST_FEE):+.2f}"
    name = f"the paper's rule, stake {PAPER_STAKE}, majority of 3"
    return name, f"{share:.0%}", f"{chance:.2%}", gain, gain, alone, gain, gain, alone, "-", "-", "no appeal"


LABELS = Labels("Gain of deciding a verdict", "wrong verdicts appealed, %", f"gain a duel (a request: {REQUEST_FEE})")


def _draw(options: Options, curves: dict[str, list[float]]) -> None:
    canvas, axes = panels(1, 1, (6.0, 3.2))
    rates = [100 * rate for rate in APPEAL_RATES]
    lines = {f"{share} of stake": (rates, line) for share, line in curves.items()}
    draw_lines(axes[0], lines, LABELS)
    axes[0].axhline(0.0, color="#999999", linewidth=0.8)
    axes[0].legend(fontsize=7)
    save(canvas, options.out / "figures" / "coalitions.png")
