"""A few cases of `make duel-faults` in every run, and that its oracle can fail."""

from dataclasses import replace

import pytest

from tests.faults.duel_faults import Case, Phase, Trialist, cases, prepared

pytestmark = pytest.mark.integration


def test_duel_faults__one_case_a_phase__end_by_a_strangers_call():
    world = prepared()
    seen = {case.phase: case for case in cases() if case.ballot == "second but one"}
    assert set(seen) == set(Phase)
    for phase in (Phase.OPENED, Phase.HALF_REVEALED, Phase.JURY_REVEALED):
        restore = world.remember()
        assert Trialist(world, seen[phase]).play() == []
        restore()


def test_duel_faults__another_end_than_the_rules_say__is_a_violation():
    player = Trialist(prepared(), Case(Phase.REVEALED, "nobody", "first"))
    player.play()
    player.case = replace(player.case, phase=Phase.DRAWN)
    player._check_end()
    assert player.wrong == ["ended FIRST_WON, should TIED"]
