"""Puts duels together for app.py: this node as a dispatcher (if it buys from peers) and as a judge. Decides nothing."""

import logging
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from node.adapters.chain.duelling import EvmDuels
from node.adapters.chain.evm import EvmChain
from node.adapters.engine.client import EngineSettings, HttpEngine
from node.adapters.keys import LocalSigner
from node.adapters.keys.sealing import SealedBox, seal
from node.adapters.ledger import Books
from node.api.duels import DuelServices
from node.core.duel_chain import Court
from node.core.errors import BadConfig
from node.core.judging.exact import READERS, Known, question_key
from node.core.types import Amount
from node.jobs.schedule import Job
from node.networked import Network
from node.ports.judging import Judge
from node.routed import Routed
from node.services.bids import Identity
from node.services.duel import Duelling
from node.services.duel_canaries import Canaries
from node.services.duel_course import Course
from node.services.duel_evidence import EvidenceDesk, EvidenceReader
from node.services.duel_parts import DuelParts
from node.services.duel_ratings import Ratings
from node.services.duel_seeds import Seeds
from node.services.judge import Judging
from node.services.judging import CHAT, KnownAnswers, LikelihoodJudge, PairwiseJudge
from node.services.parts import Parts
from node.services.probes import Probe, Probes
from node.services.quoting import counter_of
from node.services.request import parse_request
from node.settings import Settings

log = logging.getLogger(__name__)
RATINGS_SECONDS = 5.0
SEEDS_SECONDS = 15.0
TIDY_SECONDS = 60.0
SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DuelBasis:
    """What app.py has already built."""

    chain: EvmChain
    books: Books
    gas_key: LocalSigner


@dataclass(frozen=True, slots=True)
class Duelled:
    """Everything of duels that app.py runs. Without a wallet a node dispatches none, without a judge it judges none."""

    services: DuelServices
    seeds: Seeds
    dispatching: Duelling | None
    judging: Judging | None
    probes: Probes | None

    async def close(self) -> None:
        """Second answers under way end first, if soon: their executors may take ten minutes, and a node must stop."""
        if self.dispatching is not None:
            await self.dispatching.settle(SETTLE_SECONDS)


def add_duels(
    settings: Settings, parts: Parts, basis: DuelBasis, others: tuple[Network, Routed | None], stack: AsyncExitStack
) -> Duelled | None:
    """None unless `duels` is on. Raises BadConfig for a deployment without them, or a judge that is not one."""
    if not settings.duels:
        return None
    network, routed = others
    chain = EvmDuels(basis.chain)
    me = parts.market.payee
    court = Court(basis.chain.deployment.chain_id, chain.address)
    books = basis.books
    shared = DuelParts(
        me=me,
        court=court,
        book=books.chain,
        blocks=books.chain,
        store=books.duels,
        chain=chain,
        outbox=books.outbox,
        sender=basis.gas_key.address,
        clock=parts.clock,
    )
    identity = Identity(me, parts.signer, parts.recover, parts.market.domain, parts.clock)
    course, ratings = Course(shared), Ratings(books.chain)
    known = read_answers(settings.canaries) if settings.canaries else {}
    canaries = Canaries(books.chain, books.duels, known)
    if routed is not None:
        routed.services.router.quality = ratings.factor
    rate = settings.duel_rate_per_mille if routed is not None else 0
    seeds = Seeds(shared, parts.signer, parts.market.domain, rate)
    dispatching = _dispatching(seeds, (network, routed), (course, canaries))
    ratings.dispatches = dispatching is not None
    if dispatching is not None:
        dispatching.shown = ratings.note_shown
    judge = _judge_of(settings, stack)
    judging = None
    if judge is not None:
        reader = EvidenceReader(shared, identity, network.membership, network.peers, SealedBox)
        judging = Judging(shared, judge, reader, course, os.urandom)
    services = DuelServices(EvidenceDesk(shared, identity, seal), ratings, canaries)
    return Duelled(services, seeds, dispatching, judging, _probes(settings, parts, network, routed))


def duel_jobs(duelled: Duelled | None, settings: Settings) -> Sequence[Job]:
    """What runs by itself."""
    if duelled is None:
        return ()
    jobs = [
        Job("ratings", RATINGS_SECONDS, duelled.services.ratings.refresh),
        Job("canaries", RATINGS_SECONDS, duelled.services.canaries.refresh),
        Job("evidence", TIDY_SECONDS, duelled.services.desk.tidy),
    ]
    if duelled.dispatching is not None:
        jobs.append(Job("duels", settings.duel_seconds, duelled.dispatching.run))
    else:  # a seed committed to while there was a rate is revealed all the same: an unrevealed one is slashed
        jobs.append(Job("seeds", SEEDS_SECONDS, duelled.seeds.attend))
    if duelled.judging is not None:
        jobs.append(Job("judging", settings.duel_seconds, duelled.judging.run))
    if duelled.probes is not None:
        jobs.append(Job("probes", settings.probe_seconds, duelled.probes.run))
    return jobs


def _dispatching(seeds: Seeds, others: tuple[Network, Routed | None], both: tuple[Course, Canaries]) -> Duelling | None:
    network, routed = others
    shared = seeds.parts
    if routed is None or not seeds.rate:
        return None
    if routed.market.payer.address != shared.me:
        raise BadConfig("to dispatch duels this provider must pay for itself: set offload_payer to the payee's address")
    dispatching = Duelling(shared, seeds, routed.market, routed.services.router, network.membership, *both)
    routed.market.watch(dispatching.note)
    return dispatching


def _judge_of(settings: Settings, stack: AsyncExitStack) -> Judge | None:
    if not settings.judge_engine:
        log.warning("duels are on and judge_engine is not set: a seat that this node is drawn for will be slashed")
        return None
    engine = HttpEngine(EngineSettings(settings.judge_engine))
    stack.callback(engine.close)
    judge: Judge = LikelihoodJudge(engine, settings.judge_model)
    if settings.judge == "pairwise":
        judge = PairwiseJudge(engine, settings.judge_model, os.urandom)
    if settings.judge_answers is None:
        return judge
    return KnownAnswers(judge, read_answers(settings.judge_answers))


def read_answers(file: Path) -> Known:
    """Known answers by the hash of the question. Raises BadConfig."""
    return {question_key(f"user: {question}"): (kind, answer) for question, kind, answer in known_rows(file)}


def known_rows(file: Path) -> Sequence[tuple[str, str, str]]:
    """Questions, kinds and answers: a JSON list of {"question", "kind", "answer"}. Raises BadConfig."""
    try:
        rows = orjson.loads(file.read_bytes())
        found = [(str(row["question"]), str(row["kind"]), str(row["answer"])) for row in rows]
    except (OSError, orjson.JSONDecodeError, TypeError, KeyError) as exc:
        raise BadConfig(f"{file} is not a JSON list of objects with question, kind and answer") from exc
    if wrong := {kind for _, kind, _ in found} - READERS.keys():
        raise BadConfig(f"{file}: kinds of answers are {', '.join(READERS)}, not {', '.join(sorted(wrong))}")
    return found


def probe_questions(settings: Settings) -> Sequence[str]:
    """What probes ask: the operator's questions, and those whose answers it knows. Raises BadConfig for empty files."""
    questions = [question for question, *_ in known_rows(settings.canaries)] if settings.canaries else []
    if settings.probe_questions is not None:
        try:
            lines = settings.probe_questions.read_text(encoding="utf-8").splitlines()
        except OSError as exc:
            raise BadConfig(f"cannot read {settings.probe_questions}: {exc.strerror}") from exc
        questions += [line.strip() for line in lines if line.strip()]
    if not questions and (named := settings.probe_questions or settings.canaries):
        raise BadConfig(f"{named} holds no question")
    return questions


def _probes(settings: Settings, parts: Parts, network: Network, routed: Routed | None) -> Probes | None:
    questions = probe_questions(settings)
    if routed is None or not questions:
        return None
    model = parts.offers.current().models[0]
    probe = Probe(
        model=model.name,
        model_id=model.model,
        questions=questions,
        tokens=settings.probe_tokens,
        price_prompt=model.price_prompt,
        price_completion=model.price_completion,
        most=Amount(settings.offload_exposure),
        count=lambda body: counter_of(parts.counters, model).count_prompt(parse_request(CHAT, body).prompt),
    )
    return Probes(parts.market.payee, probe, routed.market, routed.services.router, network.membership, os.urandom)
