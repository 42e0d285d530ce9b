"""Whether this node would serve a paid request now, and why not. Asks, changes nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from node.core.errors import WwwserveError
from node.services.parts import Parts
from node.services.serve import Serving


@dataclass(frozen=True, slots=True)
class Readiness:
    """`extra` adds what other services know (the currency rate and its age)."""

    parts: Parts
    serving: Serving
    extra: Callable[[], Mapping[str, Any]]

    async def report(self) -> dict[str, Any]:
        """`is_ready` and one line a subject."""
        checks = {
            "chain": await self._chain(),
            "lease": None if self.parts.lease.is_held else "this worker holds no lease on the books",
            "engines": await self._engines(),
            "books": self.serving.suspended or None,
            "draining": "going down" if self.serving.is_draining else None,
        }
        view = self.parts.chain.payee_view
        return {
            "is_ready": not any(checks.values()),
            "problems": {name: problem for name, problem in checks.items() if problem},
            "head_age_seconds": self.parts.chain.head_age,
            "finalised_block": self.parts.chain.finalised,
            "generation": view.generation,
            "in_flight": self.serving.in_flight,
            **self.extra(),
        }

    async def _chain(self) -> str | None:
        view = self.parts.chain
        try:
            await view.refresh()
            view.check_fresh()
        except WwwserveError as error:
            return error.message
        if view.payee_view.generation == 0:
            return "the payee has no operator key in the escrow (finalised) yet"
        if view.payee_view.operator != self.parts.signer.address:
            return "the escrow names another operator key than this node's"
        return None

    async def _engines(self) -> str | None:
        if self.parts.router is not None:
            return None  # peers may serve what no own engine can
        healthy = await self.parts.backends.healthy()
        down = [name for name, count in healthy.items() if not count]
        return f"no engine answers for {', '.join(down)}" if down else None
