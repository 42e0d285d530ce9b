"""services.sender over a scripted chain: one nonce owner, nothing sent unsaved, unknown never taken for failed."""

import random

import pytest

from node.adapters.keys import LocalSigner, Secret
from node.core.errors import CallReverted, ChainUnavailable
from node.core.fees import GWEI, FeePolicy
from node.core.transactions import DUEL, Call, Fees, OutboxRow, Simulation, TxState, Wish
from node.core.types import Address, Seconds
from node.services.sender import Sender
from tests.fakes.chain_books import MemoryOutbox
from tests.fakes.scripted_chain import ScriptedChain

SIGNER = LocalSigner(Secret(b"\x07" * 32))
CALL = Call(Address(b"\xee" * 20), b"\x01")
POLICY = FeePolicy(cap=100 * GWEI, patience_seconds=Seconds(60))


class Bench:
    """A chain, an outbox, a sender and a clock that the test turns."""

    def __init__(self) -> None:
        self.chain, self.outbox, self.time = ScriptedChain(), MemoryOutbox(), 1_800_000_000.0
        self.sender = self.another_sender()

    def another_sender(self) -> Sender:
        return Sender(self.chain, self.outbox, SIGNER, self, POLICY)

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def want(self, key: str, deadline: int = 0, kind: str = "claim") -> int:
        row_id = await self.outbox.add(Wish(key, kind, SIGNER.address, CALL, Seconds(deadline)))
        assert row_id is not None
        return row_id

    async def mine_to_finality(self) -> None:
        for _ in range(self.chain.finality + 1):
            self.chain.mine()
            await self.sender.run()

    def row(self, row_id: int) -> OutboxRow:
        return self.outbox.rows[row_id]


async def test_run__a_wish__goes_through_every_state() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    assert (await bench.sender.run()).unmined == 1
    assert bench.row(row_id).state is TxState.SENT
    bench.chain.mine()
    backlog = await bench.sender.run()
    assert (backlog.unmined, backlog.unconfirmed) == (0, 1)
    assert bench.row(row_id).state is TxState.MINED
    await bench.mine_to_finality()
    assert bench.row(row_id).state is TxState.CONFIRMED
    assert (await bench.sender.run()).unconfirmed == 0


async def test_run__several_wishes__one_unmined_at_a_time_and_no_nonce_gap() -> None:
    bench = Bench()
    ids = [await bench.want(key) for key in "abc"]
    for sent in range(1, 4):
        await bench.sender.run()
        assert len(bench.chain.sends) == sent
        await bench.sender.run()
        assert len(bench.chain.sends) == sent
        bench.chain.mine()
    assert [bench.row(row_id).attempts[0].nonce for row_id in ids] == [0, 1, 2]


async def test_run__wish_with_a_deadline__overtakes() -> None:
    bench = Bench()
    await bench.want("slow")
    urgent = await bench.want("urgent", deadline=1_800_000_900)
    await bench.sender.run()
    assert bench.row(urgent).state is TxState.SENT


async def test_run__simulation_reverts__closes_the_row_unsent() -> None:
    bench = Bench()
    bad = await bench.want("bad")
    bench.chain.simulation = CallReverted("the contract refuses: X()")
    await bench.sender.run()
    assert (bench.row(bad).state, bench.row(bad).attempts) == (TxState.REVERTED, ())
    assert "refuses" in bench.row(bad).reason


async def test_run__nothing_would_change__is_needless() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    bench.chain.simulation = Simulation(50_000, is_useless=True)
    await bench.sender.run()
    assert (bench.row(row_id).state, bench.chain.sends) == (TxState.NEEDLESS, [])


@pytest.mark.parametrize("fault", ["lose", "drop"])
async def test_run__reply_lost__is_unknown_then_sent_again_with_the_same_bytes(fault: str) -> None:
    bench = Bench()
    row_id = await bench.want("a")
    bench.chain.send_fault = fault
    with pytest.raises(ChainUnavailable):
        await bench.sender.run()
    assert bench.row(row_id).state is TxState.UNKNOWN
    await bench.sender.run()
    assert bench.row(row_id).state is TxState.SENT
    assert len({attempt.raw for attempt in bench.chain.sends}) == 1
    await bench.mine_to_finality()
    assert bench.row(row_id).state is TxState.CONFIRMED
    assert bench.chain.next_nonce() == 1


async def test_run__unknown_but_mined__is_found_by_its_hash() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    bench.chain.send_fault = "lose"
    with pytest.raises(ChainUnavailable):
        await bench.sender.run()
    await bench.mine_to_finality()
    assert bench.row(row_id).state is TxState.CONFIRMED
    assert len(bench.chain.sends) == 1


async def test_run__killed_between_saving_and_sending__the_next_process_sends_it() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    bench.chain.send_fault = "drop"
    with pytest.raises(ChainUnavailable):
        await bench.sender.run()
    row = bench.row(row_id)
    await bench.outbox.save_state(row, TxState.SENT)  # what a kill leaves: saved, never sent
    await bench.another_sender().run()
    assert len(bench.chain.sends) == 1


async def test_run__stuck__is_replaced_at_the_same_nonce_for_an_eighth_more() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    await bench.sender.run()
    bench.chain.fees = Fees(base_fee=5 * GWEI, tip=GWEI)
    bench.time += 59
    await bench.sender.run()
    assert len(bench.row(row_id).attempts) == 1
    bench.time += 1
    await bench.sender.run()
    first, second = bench.row(row_id).attempts
    assert second.nonce == first.nonce
    assert second.max_fee * 8 >= first.max_fee * 9
    await bench.mine_to_finality()
    assert bench.row(row_id).state is TxState.CONFIRMED
    assert bench.row(row_id).receipt is not None
    assert bench.row(row_id).receipt.tx_hash == second.tx_hash


async def test_run__earlier_attempt_is_mined_after_a_replacement__is_found() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    await bench.sender.run()
    first = bench.row(row_id).attempts[0]
    bench.time += 60
    await bench.sender.run()
    bench.chain.mempool = {0: first}
    await bench.mine_to_finality()
    assert bench.row(row_id).state is TxState.CONFIRMED


async def test_run__fee_spike_above_the_cap__waits_and_never_exceeds_it() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    bench.chain.fees = Fees(base_fee=500 * GWEI, tip=GWEI)
    for _ in range(5):
        await bench.sender.run()
        bench.time += 60
    assert [attempt.max_fee for attempt in bench.row(row_id).attempts] == [100 * GWEI]


async def test_run__fee_spike_while_a_thaw_ends__pays_up_to_the_urgent_cap() -> None:
    bench = Bench()
    row_id = await bench.want("a", deadline=1_800_000_000 + 3_600)
    bench.chain.fees = Fees(base_fee=300 * GWEI, tip=GWEI)
    await bench.sender.run()
    assert bench.row(row_id).attempts[-1].max_fee > 300 * GWEI


async def test_run__reorg_drops_a_mined_one__it_is_sent_again() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    await bench.sender.run()
    bench.chain.mine()
    await bench.sender.run()
    bench.chain.reorg(1)
    await bench.sender.run()
    assert bench.row(row_id).state is TxState.UNKNOWN
    await bench.sender.run()
    await bench.mine_to_finality()
    assert bench.row(row_id).state is TxState.CONFIRMED
    assert len(bench.row(row_id).attempts) == 1


async def test_run__a_stranger_used_the_nonce__is_reverted_only_when_final() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    await bench.sender.run()
    bench.chain.mempool.clear()
    other = bench.outbox.rows[row_id].attempts[0]
    foreign = type(other)(b"\x99" * 32, 0, other.max_fee, other.tip, b"foreign", other.sent_at)
    bench.chain.mempool[0] = foreign
    bench.chain.mine()
    await bench.sender.run()
    assert bench.row(row_id).state in {TxState.SENT, TxState.UNKNOWN}
    for _ in range(bench.chain.finality):
        bench.chain.mine()
    await bench.sender.run()
    assert bench.row(row_id).state in {TxState.SENT, TxState.UNKNOWN}  # its events may still come
    bench.time += POLICY.patience_seconds
    await bench.sender.run()
    assert bench.row(row_id).state is TxState.REVERTED
    assert "another transaction" in bench.row(row_id).reason


async def test_run__endpoint_hides_receipts_but_our_books_have_the_events__is_not_taken_for_lost() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    await bench.sender.run()
    bench.chain.hides_receipts = True
    bench.outbox.in_events.add(bench.row(row_id).attempts[0].tx_hash)
    for _ in range(bench.chain.finality + 1):
        bench.chain.mine()
    bench.time += POLICY.patience_seconds
    second = await bench.want("b")
    await bench.sender.run()
    assert bench.row(row_id).state is TxState.SENT
    assert bench.row(second).attempts[0].nonce == 1  # a used nonce keeps nobody waiting
    bench.chain.hides_receipts = False
    await bench.mine_to_finality()
    assert [bench.row(number).state for number in (row_id, second)] == [TxState.CONFIRMED] * 2


async def test_run__refused_by_the_endpoint__keeps_its_nonce_and_says_why() -> None:
    bench = Bench()
    row_id = await bench.want("a")
    bench.chain.send_fault = "refuse"
    await bench.sender.run()
    assert bench.row(row_id).state is TxState.SENT
    assert "refuses" in bench.row(row_id).reason
    bench.time += 60
    await bench.sender.run()
    await bench.mine_to_finality()
    assert bench.row(row_id).state is TxState.CONFIRMED


async def test_run__two_senders__send_each_wish_once() -> None:
    bench = Bench()
    ids = [await bench.want(key) for key in "ab"]
    senders = [bench.another_sender(), bench.another_sender()]
    for _ in range(8):
        for sender in senders:
            await sender.run()
        bench.chain.mine()
    assert bench.chain.next_nonce() == 2
    assert all(len(bench.row(row_id).attempts) == 1 for row_id in ids)


async def test_run__random_faults__every_wish_lands_once_and_no_nonce_is_skipped() -> None:
    for seed in range(60):
        dice, bench = random.Random(seed), Bench()
        ids = [await bench.want(str(n)) for n in range(5)]
        for _ in range(300):
            bench.chain.send_fault = dice.choice(["", "", "lose", "drop", "refuse"])
            bench.time += dice.choice([1, 30, 61])
            try:
                await bench.sender.run()
            except ChainUnavailable:
                continue
            if dice.random() < 0.2:
                bench.chain.mempool.clear()
            if dice.random() < 0.2 and len(bench.chain.blocks) > 6:
                bench.chain.reorg(dice.randint(1, 3))
            bench.chain.mine(takes=dice.randint(0, 2))
            bench.chain.mine()
        bench.chain.send_fault = ""
        for _ in range(20):
            bench.time += 61
            await bench.sender.run()
            bench.chain.mine()
        await bench.mine_to_finality()
        assert [bench.row(row_id).state for row_id in ids] == [TxState.CONFIRMED] * 5, seed
        assert bench.chain.next_nonce() == 5, seed


# ---------------------------------------------------------------------------------------- wishes that harm when late
async def test_run__never_sent_and_its_deadline_over__is_closed_unsent() -> None:
    """A kill between the wish and the sender, a day down: an opening would land in another epoch, as a fault."""
    bench = Bench()
    row_id = await bench.want("open", int(bench.now()) + 60, DUEL)
    bench.time += 86_400
    await bench.another_sender().run()
    assert (bench.row(row_id).state, bench.chain.sends) == (TxState.NEEDLESS, [])
    assert "deadline" in bench.row(row_id).reason


async def test_run__a_claim_and_its_deadline_over__is_sent_all_the_same() -> None:
    """Its deadline only makes it urgent: it may still be paid."""
    bench = Bench()
    row_id = await bench.want("claim", int(bench.now()) - 60)
    await bench.sender.run()
    assert bench.row(row_id).state is TxState.SENT


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_run__sent_and_stuck_beyond_its_deadline__its_nonce_is_used_by_nothing(*, is_restarted: bool) -> None:
    bench = Bench()
    row_id = await bench.want("open", int(bench.now()) + 30, DUEL)
    after = await bench.want("b")
    await bench.sender.run()
    bench.time += 31
    if is_restarted:
        bench.sender = bench.another_sender()
    await bench.sender.run()
    first, second = bench.row(row_id).attempts
    assert (first.nonce, second.max_fee > first.max_fee, second.tip > first.tip) == (second.nonce, True, True)
    assert len(bench.chain.sends) == 2, "what is late is not sent again"
    await bench.mine_to_finality()
    row = bench.row(row_id)
    assert (row.state, row.receipt is not None and row.receipt.tx_hash) == (TxState.REVERTED, second.tx_hash)
    assert "deadline" in row.reason
    assert bench.row(after).attempts[0].nonce == first.nonce + 1


async def test_run__the_empty_one_is_stuck_too__it_is_bumped_and_stays_empty() -> None:
    bench = Bench()
    row_id = await bench.want("open", int(bench.now()) + 60, DUEL)
    await bench.sender.run()
    calls = []
    sign = bench.chain.sign_tx
    bench.chain.sign_tx = lambda fields, signer, now: (calls.append(fields.call), sign(fields, signer, now))[1]  # type: ignore[method-assign]
    for _ in range(3):
        bench.time += 61
        await bench.sender.run()
    assert len(bench.row(row_id).attempts) == 4
    assert calls == [Call(SIGNER.address, b"")] * 3
