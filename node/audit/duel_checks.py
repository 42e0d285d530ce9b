"""What duels need of the chain besides events; then opponents against seeds and the books against the contract."""

from collections.abc import Sequence

from node.audit.chain import PinnedBlock
from node.audit.court import PER_MILLE, Court, CourtRules, Duel, words
from node.audit.crypto import ZERO20, hexed, keccak, octets_of
from node.audit.deployment import Deployment
from node.audit.errors import MalformedError
from node.audit.events import Event, Log, decode_event
from node.audit.findings import Report
from node.audit.fold_duels import reveal_until
from node.audit.rpc import Rpc, RpcRefusedError
from node.audit.views import View, Views

MEMBER_KINDS = ("uint16", "bool", "address", "address", "uint64")


def fetch_rules(views: Views, deployment: Deployment) -> CourtRules:
    """Windows and amounts of the deployed court. Raises CannotAuditError."""
    asked = [
        View(deployment.duels, "times()", (), ("uint64",) * 5),
        View(deployment.duels, "amounts()", (), ("uint128",) * 7),
        View(deployment.duels, "weightUnit()", (), ("uint128",)),
        View(deployment.registry, "minStake()", (), ("uint128",)),
    ]
    numbers = [value for answer in views.call_many(asked) for value in answer if isinstance(value, int)]
    numbers[-1] //= 2  # a member is drawn down to half the least stake
    return CourtRules(deployment.chain_id, deployment.duels, *numbers)


def duel_logs(logs: Sequence[Log], deployment: Deployment, names: frozenset[str]) -> list[Event]:
    """The court's events of these names, without their times."""
    found = []
    for log in logs:
        try:
            event = decode_event("duels", log, 0) if log.address == deployment.duels else None
        except MalformedError:
            continue  # the fold reports it
        if event is not None and event.name in names:
            found.append(event)
    return found


def draw_blocks(logs: Sequence[Log], deployment: Deployment, pinned: PinnedBlock) -> set[int]:
    """The blocks whose hashes drew judges."""
    opened = duel_logs(logs, deployment, frozenset({"Opened", "AppealOpened"}))
    return {event.number("drawBlock") for event in opened if event.number("drawBlock") <= pinned.number}


def fetch_calls(
    rpc: Rpc, logs: Sequence[Log], deployment: Deployment, report: Report
) -> dict[bytes, tuple[bytes, bytes]]:
    """(sender, input) of the transactions that revealed votes or proved faults by calling the contract itself."""
    wanted = {event.log.tx_hash for event in duel_logs(logs, deployment, frozenset({"Revealed", "FaultProven"}))}
    ordered = sorted(wanted)
    try:
        answers = rpc.call_many([("eth_getTransactionByHash", [hexed(tx)]) for tx in ordered])
    except RpcRefusedError as exc:
        report.notes.append(f"{rpc.url} does not give transactions ({exc}): votes were not opened again")
        return {}
    calls = {}
    for tx, answer in zip(ordered, answers, strict=True):
        if isinstance(answer, dict) and answer.get("to") == hexed(deployment.duels):
            text = str(answer.get("input", "0x"))
            try:
                calls[tx] = (
                    octets_of(answer.get("from"), 20, "from"),
                    octets_of(text, len(text) // 2 - 1, "input"),
                )
            except MalformedError:
                continue
    return calls


def check_seeds(court: Court, at: int) -> None:
    """Seeds that are overdue, and the second executors of the duels whose seed is known."""
    for (dispatcher, epoch), seed in court.seeds.items():
        if not seed.seed and at > reveal_until(court, epoch):
            text = f"the seed of epoch {epoch} was never revealed"
            court.report.add("AUD-089", text, dispatcher=hexed(dispatcher), epoch=epoch)
    for duel in court.duels.values():
        seed_kept = court.seeds.get((duel.dispatcher, duel.trial.epoch))
        if seed_kept is not None and seed_kept.seed:
            _check_opponent(court, duel, seed_kept.seed, seed_kept.rate)


def _check_opponent(court: Court, duel: Duel, seed: bytes, rate: int) -> None:
    point = keccak(words(seed, duel.request_id, duel.nonce))
    drawn = court.draw(duel.trial.epoch - 1, [keccak(words(point, duel.attempt))])
    right = court.members[drawn[0]].provider if drawn and drawn[0] in court.members else ZERO20
    if int.from_bytes(point, "big") % PER_MILLE >= rate:
        text = f"the seed does not make this request a duel (rate {rate} in 1000)"
    elif right != duel.second:
        text = f"the second executor is {hexed(duel.second)}, attempt {duel.attempt} draws {hexed(right)}"
    else:
        return
    evidence = {"duel": hexed(duel.duel_id), "dispatcher": hexed(duel.dispatcher)}
    court.report.add("AUD-088", text, **evidence, **duel.opened.evidence)


def check_court(views: Views, deployment: Deployment, court: Court) -> None:
    """Every balance, member and the burn against the contract's views, and what it holds against what it owes."""
    if court.unopened:
        court.report.notes.append(f"{court.unopened} votes came through another contract: they were not opened again")
    for due in court.due:
        text = f"{hexed(due.culprit)} was not slashed {due.asked} in block {due.block}"
        court.report.add("AUD-084", text, culprit=hexed(due.culprit), block=due.block)
    accounts = sorted(court.balances)
    asked = [View(deployment.duels, "balances(address)", (each,), ("uint128",)) for each in accounts]
    for account, answer in zip(accounts, views.call_many(asked), strict=True):
        _compare(court, hexed(account), answer[0], court.balances[account], court.unnamed)
    burnt = views.call(View(deployment.duels, "burnt()", (), ("uint256",)))[0]
    _compare(court, "burnt", burnt, court.burnt, 0)
    _check_members(views, deployment, court)
    held = views.call(View(deployment.currency, "balanceOf(address)", (deployment.duels,), ("uint256",)))[0]
    if isinstance(held, int) and held < court.owed:
        text = f"holds {held}, owes {court.owed}"
        court.report.add("AUD-086", text, holder=hexed(deployment.duels), block=views.pinned.number)


def _compare(court: Court, subject: str, seen: object, rebuilt: int, slack: int) -> None:
    if not isinstance(seen, int) or not rebuilt <= seen <= rebuilt + slack:
        court.report.add("AUD-085", f"{subject} is {seen}, the events give {rebuilt}", subject=subject)


def _check_members(views: Views, deployment: Deployment, court: Court) -> None:
    places = sorted(court.members)
    asked = [View(deployment.duels, "member(address)", (court.members[p].provider,), MEMBER_KINDS) for p in places]
    for place, answer in zip(places, views.call_many(asked), strict=True):
        member = court.members[place]
        rebuilt = [place, int(member.is_active), member.controller, member.delegate, member.weight]
        if [int(value) if isinstance(value, bool) else value for value in answer] != rebuilt:
            text = "place, activity, controller, delegate or weight is not what the events give"
            court.report.add("AUD-087", text, provider=hexed(member.provider))
