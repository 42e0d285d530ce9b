"""`ports.duels.DuelChain` over one deployment: builds the calls of Duels and reads its views. Never sends."""

from typing import Any

from node.adapters.chain.evm import EvmChain, compact
from node.core.answers import SignedAnswer
from node.core.errors import BadConfig
from node.core.evidence import evidence_from
from node.core.hashing import keccak
from node.core.messages import Answer
from node.core.quality import size_class
from node.core.transactions import Call
from node.core.types import Address, Amount, Bytes32, Seconds
from node.ports.duels import CourtRules, KeptCase, KeptVote, SeedOnChain


class EvmDuels:
    """See module. Raises BadConfig for a deployment without duels."""

    def __init__(self, chain: EvmChain) -> None:
        if chain.deployment.duels is None:
            raise BadConfig("this deployment has no duels contract: leave `duels` off")
        self._chain = chain
        self.address = chain.deployment.duels

    async def read_rules(self) -> CourtRules:
        """See ports.duels.DuelChain."""
        times, amounts = await self._agreed("times"), await self._agreed("amounts")
        epoch, commit, reveal, appeal = (Seconds(times[name]) for name in ("epoch", "commit", "reveal", "appeal"))
        return CourtRules(epoch, commit, reveal, appeal, Amount(amounts["bond"]))

    async def read_balance(self, account: Address) -> Amount:
        """See ports.duels.DuelChain."""
        return Amount(await self._read("balances", account))

    async def read_seed(self, dispatcher: Address, epoch: int) -> SeedOnChain:
        """See ports.duels.DuelChain."""
        raw = await self._chain.agreed_call(self._call("seedOf", dispatcher, epoch))
        _, rate, is_revealed = self._chain.duels.decode_result("seedOf", raw)
        return SeedOnChain(int(rate), bool(is_revealed))

    def commit_seed(self, dispatcher: Address, commitment: Bytes32, rate_per_mille: int) -> Call:
        """See ports.duels.DuelChain."""
        return self._call("commitSeed", dispatcher, commitment, rate_per_mille)

    def reveal_seed(self, dispatcher: Address, epoch: int, seed: Bytes32) -> Call:
        """See ports.duels.DuelChain."""
        return self._call("revealSeed", dispatcher, epoch, seed)

    def open(self, case: KeptCase, evidence_root: Bytes32) -> Call:
        """See ports.duels.DuelChain."""
        answer = case.first.answer
        opening = {
            "payer": answer.payer,
            "requestId": answer.request_id,
            "requestHash": answer.request_hash,
            "model": answer.model,
            "evidenceRoot": evidence_root,
            "fee": case.fee,
            "attempt": case.attempt,
            "size": size_class(evidence_from(case.evidence).body),
            "first": _side(case.first),
            "second": _side(case.second),
        }
        return self._call("open", opening)

    def draw(self, duel: Bytes32) -> Call:
        """See ports.duels.DuelChain."""
        return self._call("draw", duel)

    def commit(self, duel: Bytes32, seat: int, commitment: Bytes32) -> Call:
        """See ports.duels.DuelChain."""
        return self._call("commit", duel, seat, commitment)

    def reveal(self, duel: Bytes32, vote: KeptVote) -> Call:
        """See ports.duels.DuelChain."""
        return self._call("reveal", duel, vote.seat, int(vote.vote), vote.salt, keccak(vote.rationale.encode()))

    def finalize(self, duel: Bytes32) -> Call:
        """See ports.duels.DuelChain."""
        return self._call("finalize", duel)

    def _call(self, function: str, *args: object) -> Call:
        return Call(self.address, self._chain.duels.encode_call(function, *args))

    async def _agreed(self, function: str) -> Any:  # noqa: ANN401 -- as the ABI says
        raw = await self._chain.agreed_call(self._call(function))
        return self._chain.duels.decode_result(function, raw)[0]

    async def _read(self, function: str, *args: object) -> Any:  # noqa: ANN401 -- as the ABI says
        raw = await self._chain.call(self._call(function, *args))
        return self._chain.duels.decode_result(function, raw)[0]


def _side(signed: SignedAnswer) -> dict[str, object]:
    answer: Answer = signed.answer
    return {
        "executor": answer.executor,
        "lane": answer.lane,
        "generation": answer.generation,
        "responseHash": answer.response_hash,
        "nonceCommit": answer.nonce_commit,
        "signature": compact(signed.signature),
    }
