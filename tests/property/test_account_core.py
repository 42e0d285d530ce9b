"""The account machine over the pure core: `make test` takes a taste, WWWSERVE_DEEP=1 takes 50,000 steps."""

import os

from hypothesis import settings

from tests.property.ledger_moves import AccountMachine, CoreGround, Ground


class CoreMachine(AccountMachine):
    def make_ground(self) -> Ground:
        return CoreGround()


TestAccountCore = CoreMachine.TestCase
DEEP = bool(os.environ.get("WWWSERVE_DEEP"))
TestAccountCore.settings = settings(max_examples=1_000 if DEEP else 60, stateful_step_count=50, deadline=None)
