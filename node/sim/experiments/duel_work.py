"""What duels cost and find, by their rate and by the number of judges: the ablations nobody published."""

from dataclasses import replace
from functools import partial
from typing import Any

from node.core.duels import DuelTerms, Outcome, Vote, verdict
from node.core.ratings import Finding, Sprt, SprtRule, next_sprt
from node.sim.experiments.base import Figure, Options, Section, Table, number, run_many
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.run import run
from node.sim.scenario import S1_SCHEDULE, DuelLoad, Scenario, paper_scenario
from node.sim.stats import interval
from node.sim.workload import REASONING, Arrival, Phase, poisson_arrivals, stream

RATES = (0.0, 0.05, 0.10, 0.25)
JUDGES = ((3, 2), (5, 4), (7, 6))
"""(judges, votes that decide)."""
LOADS = {"S1 as published": 1.0, "S1 at half its load": 0.5}
ACCURACIES = (0.6, 0.7, 0.8, 0.9)
BAD_WINS = 0.3
REQUESTS_A_DAY = 1_000
TEXT = """\
*Cost.* A duelled offload is served twice, and five judges read question and both answers in both orders (prefill, one
token each). The user gets the first executor's answer and never waits for a duel; what remains is the work, which
other users feel when engines are full. S1 as published runs its engines at 97 % of the time, the worst case; at half
its load the same duels cost less.

*Yield.* Judges see the truth with the given probability, independently. A decided verdict moves ratings and the
sequential test (1 % / 5 %, against a win rate of 40 %); undecided duels teach nothing. `days` is how long a provider
that truly wins 30 % stays unconvicted at 1,000 offloads a day to it. More judges with a stricter majority are
righter and decide less often; two of three decides most and is wrong most, and a coalition controls it most easily
(`Coalitions against duels`), which is why five with four is shipped.
"""


def duel_work(options: Options) -> Section:
    """Run and report."""
    seeds = options.scaled(5, 2)
    todo = [(name, rate, 5, seed) for name in LOADS for rate in RATES for seed in range(1, seeds + 1)]
    todo += [("S1 as published", 0.10, judges, seed) for judges in (3, 7) for seed in range(1, seeds + 1)]
    found = dict(zip(todo, run_many(options, duelled_run, todo), strict=True))
    trials = options.scaled(20_000, 2_000)
    judged = [(judges, votes, accuracy, trials) for judges, votes in JUDGES for accuracy in ACCURACIES]
    told = dict(zip(judged, run_many(options, judged_duels, judged), strict=True))
    _draw(options, found, seeds)
    return Section(
        slug="duel-work",
        title="Duel rate and number of judges",
        answers="duel-rate (5 / 10 / 25 %) and judge-count ablations (asked for by the reviewers)",
        text=TEXT,
        seeds=seeds,
        tables=(_cost_table(found, seeds), _judge_table(told), _time_table(options)),
        figures=(Figure("duel_rate.png", "Latency of users over the share of offloads that is duelled."),),
        numbers={
            "cost": [
                {"load": name, "rate": rate, "judges": judges, "seed": seed, **answer}
                for (name, rate, judges, seed), answer in found.items()
            ]
        },
    )


def duelled_run(case: tuple[str, float, int, int]) -> dict[str, Any]:
    """User-visible latency and total work with duels at a rate."""
    name, rate, judges, seed = case
    base = paper_scenario("S1")
    duels = DuelLoad(rate, judges) if rate else None
    scenario = Scenario(name, base.nodes, partial(thinned, LOADS[name]), duels=duels)
    done = run(scenario, "adaptive", seed)
    busy = sum(node.engine.busy_seconds for node in done.world.nodes)
    made = sum(node.engine.tokens_made for node in done.world.nodes)
    return {"mean": done.summary.mean, "p99": done.summary.p99, "busy": busy, "tokens": float(made)}


def thinned(share: float, seed: int) -> list[Arrival]:
    """S1's arrivals at a share of their rate."""
    phases = [[Phase(phase.until, phase.rate * share) for phase in node] for node in S1_SCHEDULE]
    return poisson_arrivals(phases, REASONING, seed)


def judged_duels(case: tuple[int, int, float, int]) -> dict[str, float]:
    """Shares of duels with a right, a wrong and no verdict."""
    judges, votes, accuracy, trials = case
    terms = replace(DuelTerms(), judges=judges, agreement=votes)
    dice = stream(1, f"judges/{judges}/{accuracy}")
    right = wrong = 0
    for _ in range(trials):
        cast = [Vote.FIRST if dice.random() < accuracy else Vote.SECOND for _ in range(judges)]
        outcome = verdict(cast, terms)
        right += outcome is Outcome.FIRST_WON
        wrong += outcome is Outcome.SECOND_WON
    return {"right": right / trials, "wrong": wrong / trials}


def _cost_table(found: dict[tuple[str, float, int, int], dict[str, Any]], seeds: int) -> Table:
    rows = []
    for name, rate, judges in dict.fromkeys((name, rate, judges) for name, rate, judges, _ in found):
        mine = [found[name, rate, judges, seed] for seed in range(1, seeds + 1)]
        base = [found[name, 0.0, 5, seed] for seed in range(1, seeds + 1)]
        change = {
            key: interval([one[key] / other[key] - 1.0 for one, other in zip(mine, base, strict=True)])
            for key in ("mean", "p99", "tokens")
        }
        cells = (f"{100 * one.mean:+.1f} ± {100 * one.half:.1f} %" for one in change.values())
        rows.append((name, f"{rate:.0%}", f"{judges}", number(interval([one["mean"] for one in mine])), *cells))
    heading = ("load", "duelled", "judges", "mean s", "mean against none", "p99 against none", "tokens made")
    return Table(heading, tuple(rows))


def _judge_table(told: dict[tuple[int, int, float, int], dict[str, float]]) -> Table:
    rows = [
        (f"{judges}, {votes} decide", f"{accuracy:.1f}", f"{one['right']:.1%}", f"{one['wrong']:.1%}",
         f"{abs(1 - one['right'] - one['wrong']):.1%}")
        for (judges, votes, accuracy, _), one in told.items()
    ]  # fmt: skip
    return Table(("judges", "each right with", "right verdict", "wrong verdict", "no verdict"), tuple(rows))


def _time_table(options: Options) -> Table:
    """Days until a provider that truly wins 30 % is convicted, judges right four times in five."""
    rows = []
    for judges, votes in JUDGES:
        duels = interval([_duels_to_convict(judges, votes, life) for life in range(options.scaled(200, 40))])
        days = [f"{duels.mean / (rate * REQUESTS_A_DAY):.1f}" for rate in RATES[1:]]
        rows.append((f"{judges}, {votes} decide", number(duels, 0), *days))
    return Table(("judges", "duels until convicted", *(f"days at {rate:.0%}" for rate in RATES[1:])), tuple(rows))


def _duels_to_convict(judges: int, votes: int, life: int) -> float:
    terms, rule, test = replace(DuelTerms(), judges=judges, agreement=votes), SprtRule(), Sprt()
    dice, duels = stream(life, f"convict/{judges}"), 0
    while test.finding is not Finding.CONVICTED and duels < 100_000:
        duels += 1
        truth = dice.random() < BAD_WINS
        cast = [Vote.FIRST if (dice.random() < 0.8) == truth else Vote.SECOND for _ in range(judges)]
        outcome = verdict(cast, terms)
        if outcome is not Outcome.TIE:
            test = next_sprt(test, rule, won=outcome is Outcome.FIRST_WON)
    return float(duels)


def _draw(options: Options, found: dict[tuple[str, float, int, int], dict[str, Any]], seeds: int) -> None:
    canvas, axes = panels(2, 2)
    for axis, key in zip(axes, ("mean", "p99"), strict=True):
        lines = {
            name: (
                [100 * rate for rate in RATES],
                [interval([found[name, rate, 5, seed][key] for seed in range(1, seeds + 1)]).mean for rate in RATES],
            )
            for name in LOADS
        }
        draw_lines(axis, lines, Labels(f"{key} latency of users", "offloads duelled, %", "latency, s"))
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=7)
    save(canvas, options.out / "figures" / "duel_rate.png")
