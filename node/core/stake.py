"""Stake as routing weight, and the paper's rule by which a node moves its own stake with its load.

Ours is a bond in the registry that leaves only after unbonding; the paper's is a load signal of at most four credits
that can leave within two seconds. Both are drawn by `node/core/routing/draw.py`. Moves no money.
"""

LARGEST_STEP = 2
"""Credits the paper's stake moves in one second at most."""
QUEUE_PENALTY = 2
STAKE_TABLE = ((0.25, 4), (0.5, 3), (0.75, 2), (1.0, 1))
"""(share of the target usage, credits staked up to it)."""


def paper_stake_target(usage: float, target_usage: float, waiting: int, queued: int) -> int:
    """Credits the paper's node wants staked: many while idle, none while its engine has a queue."""
    if waiting > 0:
        return 0
    wanted = next((staked for share, staked in STAKE_TABLE if usage <= share * target_usage), 0)
    return max(wanted - (QUEUE_PENALTY if queued else 0), 0)


def next_paper_stake(stake: int, wanted: int, credits_left: int) -> int:
    """The stake one second later: at most two credits nearer, and never more than the node owns."""
    step = max(-LARGEST_STEP, min(LARGEST_STEP, wanted - stake))
    return stake + min(step, credits_left)
