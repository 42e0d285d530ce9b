"""The clocks of this machine behind `ports.Clock`."""

import time


class SystemClock:
    """Wall clock and monotonic clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never step back."""
        return time.monotonic()
