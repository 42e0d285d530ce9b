"""Whoever has an opinion on two answers."""

from typing import Protocol

from node.core.judging.case import Case, Judgement


class Judge(Protocol):
    """One way to judge; which one a node uses is its operator's choice."""

    async def judge(self, case: Case) -> Judgement:
        """The vote on a case; a tie when it has no opinion. Raises EngineFailed when it cannot be asked now."""
