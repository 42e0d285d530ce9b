"""Quality incentives: the paper's win rates and credits, against ratings and sequential tests; lazy judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp
from random import Random

from node.core.duels import DuelTerms, Parties, Vote, agrees_with_others, payouts
from node.core.ratings import Finding, Rating, Sprt, SprtRule, next_rating, next_sprt
from node.core.types import Address, Amount
from node.sim.curves import moving_average
from node.sim.experiments.base import Figure, Options, Section, Table, number
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.stats import interval
from node.sim.workload import stream

MODELS = {"Qwen3-8B": 0.57, "Qwen3-4B": 0.53, "Qwen3-0.6B": 0.39}
QUANTISATIONS = {"fp8": 0.54, "int4 (128)": 0.49, "int4 (32)": 0.47}
"""Published win rates."""
RESPONDERS = {"high": 0.68, "mid": 0.60, "low": 0.50, "random": 0.22}
"""Figure 6's four kinds; the paper's picture gives no numbers we could read, so these are chosen."""
REWARD = 1.0
"""Credits an executor gets for the request itself (both of them, win or lose)."""
CREDITS = 100.0
PAPER_SLASH, PAPER_STAKE = 1.0, 4.0
JUDGES_PAPER = 3
JUDGE_ACCURACY = 0.8
CANARIES = 1 / 2
JUDGE_RULE = SprtRule(fair=0.78, poor=0.55, convict_honest=0.02)
LAZY_LIMIT = 60
FEE = Amount(10)
TEXT = """\
Strengths are fitted so that the published win rates come out; the question is what each mechanism then does with
them. `paper`: the loser's whole stake (at most four credits, refilled at once) goes to the winner. `ours`: the
shipped duel terms. Both executors are paid for the request in both (a credit; the fee), which the curves include.
Convictions are by the
sequential test at 1 % / 5 % against a win rate of 40 %; a kind that merely loses more often than an average peer is
rated lower, not convicted. Judges: right with probability .8; one duel in two that a judge sees has a known answer
(a canary); lazy judges flip a coin. A judge's test reads canaries and agreement with the *other* judges (its own
vote would help to make the verdict it is compared with).

Read with care: under our terms duels cost every executor on average, the worse ones more, because more than half of
a slash goes to judges and the burn. It is the price of being checked: at a duel rate of 10 % some 3 % of what
requests cost for the best kind and 6 % for the worst (a lower loser's slash makes it less). A judge right only four
times in five about breaks even; a careless one loses and is out within some twenty duels.
"""


@dataclass(frozen=True, slots=True)
class Field:
    """Kinds of provider and their strengths."""

    strengths: Mapping[str, float]

    def chance(self, a: str, b: str) -> float:
        """Chance that `a` beats `b`."""
        return 1.0 / (1.0 + exp(self.strengths[b] - self.strengths[a]))


def fit_field(rates: Mapping[str, float]) -> Field:
    """Strengths whose mean win rates against the other kinds are `rates` (their mean is one half up to rounding)."""
    strengths = dict.fromkeys(rates, 0.0)
    offset = sum(rates.values()) / len(rates) - 0.5
    for _ in range(2_000):
        field = Field(strengths)
        for kind, rate in rates.items():
            others = [field.chance(kind, other) for other in rates if other != kind]
            strengths[kind] += 0.5 * (rate - offset - sum(others) / len(others))
    return Field(strengths)


def quality(options: Options) -> Section:
    """Run and report."""
    duels = options.scaled(1_200, 600)
    published = {"models": MODELS, "quantisations": QUANTISATIONS, "responders": RESPONDERS}
    fields = {name: fit_field(rates) for name, rates in published.items()}
    rows, curves = [], {}
    for name, field in fields.items():
        played = [_play(field, duels, seed) for seed in range(1, options.seeds + 1)]
        curves[name] = {"paper": played[0].credits, "ours": played[0].ours_line}
        for kind, rate in published[name].items():
            won = interval([play.won[kind] / play.fought[kind] for play in played])
            ours = interval([play.ours[kind] for play in played])
            paper = interval([play.credits[kind][-1] for play in played])
            strength = interval([play.ratings[kind].strength for play in played])
            moved = (number(paper, 0), number(ours, 0))
            rows.append((name, kind, f"{rate:.2f}", number(won, 2), *moved, number(strength, 2)))
    _draw(options, curves)
    heading = ("field", "kind", "published win rate", "win rate", "credits, paper's rule", "amount, ours", "rating")
    return Section(
        slug="quality",
        title="Quality incentives",
        answers="win rates .57/.53/.39 and .54/.49/.47, credits that follow quality (figures 6, 9, 10); lazy judges",
        text=TEXT,
        seeds=options.seeds,
        tables=(Table(heading, tuple(rows)), _sprt_table(options), _judge_table(options)),
        figures=(Figure("quality.png", "Credits by kind over duelled requests (one seed); figures 6, 9 and 10."),),
        numbers={
            "duels": duels,
            "credits": {name: {rule: _thin(kinds) for rule, kinds in rules.items()} for name, rules in curves.items()},
        },
    )


def _thin(kinds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {kind: list(line[::10]) for kind, line in kinds.items()}


@dataclass(slots=True)
class Play:
    """A history of duels between kinds."""

    won: dict[str, int]
    fought: dict[str, int]
    credits: dict[str, list[float]]
    ours: dict[str, float]
    ratings: dict[str, Rating]
    ours_line: dict[str, list[float]]


def _play(field: Field, duels: int, seed: int) -> Play:
    dice = stream(seed, "duels")
    kinds = list(field.strengths)
    pairs = list(combinations(kinds, 2))
    play = Play(
        dict.fromkeys(kinds, 0),
        dict.fromkeys(kinds, 0),
        {kind: [CREDITS] for kind in kinds},
        dict.fromkeys(kinds, 0.0),
        {kind: Rating() for kind in kinds},
        {kind: [CREDITS] for kind in kinds},
    )
    for _ in range(duels):
        a, b = dice.choice(pairs)
        winner, loser = (a, b) if dice.random() < field.chance(a, b) else (b, a)
        _note(play, winner, loser, dice)
    return play


def _note(play: Play, winner: str, loser: str, dice: Random) -> None:
    play.won[winner] += 1
    for kind in (winner, loser):
        play.fought[kind] += 1
    stake = max(min(PAPER_STAKE, play.credits[loser][-1]), 0.0) * PAPER_SLASH
    for kind, line in play.credits.items():
        line.append(line[-1] + stake * ((kind == winner) - (kind == loser)) + REWARD * (kind in (winner, loser)))
    mine, theirs = play.ratings[winner], play.ratings[loser]
    play.ratings[winner], play.ratings[loser] = next_rating(mine, theirs, 1.0), next_rating(theirs, mine, 0.0)
    moved = _our_payout(dice)
    play.ours[winner] += moved[0]
    play.ours[loser] += moved[1]
    fee = float(FEE)
    for kind, line in play.ours_line.items():
        line.append(line[-1] + ((kind == winner) * (moved[0] + fee) + (kind == loser) * (moved[1] + fee)) / fee)


def _our_payout(dice: Random) -> tuple[float, float]:
    """What winner and loser get under our terms, when each judge sees the verdict with its accuracy."""
    terms = DuelTerms()
    first, second, dispatcher = (Address(bytes([index]) * 20) for index in (1, 2, 3))
    seats = [Address(bytes([10 + seat]) * 20) for seat in range(terms.judges)]
    votes = {seat: Vote.FIRST if dice.random() < JUDGE_ACCURACY else Vote.SECOND for seat in range(terms.judges)}
    moved = payouts(Parties(dispatcher, first, second, FEE), seats, votes, terms)
    return float(moved.get(first, 0)), float(moved.get(second, 0))


def _sprt_table(options: Options) -> Table:
    rule, trials = SprtRule(), options.scaled(2_000, 200)
    rows = []
    for rate in (0.30, 0.40, 0.45, 0.50, 0.55):
        dice = stream(1, f"sprt/{rate}")
        ends = [_test(rule, rate, dice) for _ in range(trials)]
        convicted = sum(test.finding is Finding.CONVICTED for test in ends) / trials
        count = interval([float(test.duels) for test in ends])
        rows.append((f"{rate:.2f}", f"{convicted:.1%}", number(count, 0)))
    return Table(("true win rate", "convicted", "duels until the test ends"), tuple(rows))


def _test(rule: SprtRule, rate: float, dice: Random) -> Sprt:
    test = Sprt()
    while test.finding is Finding.OPEN:
        test = next_sprt(test, rule, won=dice.random() < rate)
    return test


def _judge_table(options: Options) -> Table:
    trials = options.scaled(400, 50)
    rows = []
    for name, accuracy in (
        ("honest, right .9", 0.9),
        ("honest, right .8", 0.8),
        ("lazy, coin", 0.5),
        ("lazy, always A", -1.0),
    ):
        dice = stream(1, f"judge/{name}")
        lives = [_judge_life(accuracy, dice) for _ in range(trials)]
        profit = interval([profit / judged for profit, judged, _ in lives])
        ejected = sum(out for _, _, out in lives) / trials
        judged = interval([float(judged) for _, judged, out in lives if out] or [0.0])
        rows.append((name, number(profit, 2), f"{ejected:.1%}", number(judged, 0)))
    return Table(("judge", "profit per duel", f"ejected within {LAZY_LIMIT} duels", "duels until ejected"), tuple(rows))


def _judge_life(accuracy: float, dice: Random) -> tuple[float, int, bool]:
    """(profit, duels judged, ejected) of one judge among four honest ones."""
    terms, test, profit = DuelTerms(), Sprt(), 0.0
    for judged in range(1, LAZY_LIMIT + 1):
        truth = dice.choice((Vote.FIRST, Vote.SECOND))
        vote = _vote(truth, accuracy, dice)
        others = [_vote(truth, JUDGE_ACCURACY, dice) for _ in range(terms.judges - 1)]
        gained, agreed = _judged(truth, vote, others, dice)
        profit += gained
        if agreed is not None:
            test = next_sprt(test, JUDGE_RULE, won=agreed)
        if test.finding is Finding.CONVICTED:
            return profit, judged, True
    return profit, LAZY_LIMIT, False


def _vote(truth: Vote, accuracy: float, dice: Random) -> Vote:
    if accuracy < 0:
        return Vote.FIRST
    wrong = Vote.SECOND if truth is Vote.FIRST else Vote.FIRST
    return truth if dice.random() < accuracy else wrong


def _judged(truth: Vote, vote: Vote, others: Sequence[Vote], dice: Random) -> tuple[float, bool | None]:
    """(what the judge earned, whether it agreed with what is known: the canary's answer or the other judges)."""
    terms = DuelTerms()
    if dice.random() < CANARIES:
        right = vote is truth
        return terms.judge_fee - (0 if right else terms.minority_slash), right
    seats = [Address(bytes([10 + seat]) * 20) for seat in range(terms.judges)]
    votes = dict(enumerate([vote, *others]))
    parties = Parties(Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20), FEE)
    earned = float(payouts(parties, seats, votes, terms).get(seats[0], 0))
    return earned, agrees_with_others(votes, 0)


def _draw(options: Options, curves: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> None:
    canvas, axes = panels(2 * len(curves), 2)
    shown = [(name, rule, kinds) for name, rules in curves.items() for rule, kinds in rules.items()]
    for axis, (name, rule, kinds) in zip(axes, shown, strict=True):
        lines = {kind: (range(len(line)), moving_average(line, 25)) for kind, line in kinds.items()}
        draw_lines(axis, lines, Labels(f"{name}, {rule}", "duelled requests", "amount, requests' worth"))
        axis.legend(fontsize=7)
    save(canvas, options.out / "figures" / "quality.png")
