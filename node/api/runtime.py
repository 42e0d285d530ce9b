"""What a serving process does to its interpreter after its start: the collector leaves alone what lives for ever."""

import gc

YOUNG_OBJECTS = 50_000
"""Allocations between collections of the youngest: a paid request makes some hundreds, and frees them by itself."""


def tune_collector() -> None:
    """Call once, after start. Everything alive now is never looked at again; later garbage is looked for less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)
