"""`ports.Tower` over HTTP: a watchtower by its URL. It gets claims and vouchers, never a prompt, an answer or a key."""

from collections.abc import Mapping, Sequence

import httpx

from node.core.errors import BadVoucher, TowerUnavailable
from node.core.messages import Claim
from node.core.pushes import push_to_json
from node.core.settlement import SignedClaim
from node.core.types import Address
from node.core.wire import hex_of, message_from_json, signature_of
from node.ports.tower import TowerClaim

TIMEOUT = 10.0


class HttpTower:
    """One watchtower."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)

    @property
    def name(self) -> str:
        """Its URL."""
        return self._url

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def push(self, claims: Sequence[SignedClaim]) -> None:
        """See ports.Tower."""
        body = {"claims": [push_to_json(signed) for signed in claims]}
        await self._asked("POST", "/v1/claims", body)

    async def load_claims(self, payee: Address) -> Sequence[TowerClaim]:
        """See ports.Tower. What is no claim is no answer."""
        document = await self._asked("GET", f"/v1/claims?payee={hex_of(payee)}", None)
        rows = document.get("claims")
        try:
            return [
                TowerClaim(message_from_json(Claim, row["claim"]), signature_of(row["claimSignature"]))
                for row in (rows if isinstance(rows, list) else ())
            ]
        except (BadVoucher, KeyError, TypeError) as exc:
            raise TowerUnavailable(f"the watchtower {self._url} answers something else than claims") from exc

    async def _asked(self, method: str, path: str, body: Mapping[str, object] | None) -> dict[str, object]:
        try:
            reply = await self._http.request(method, self._url + path, json=body)
            document = reply.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise TowerUnavailable(f"the watchtower {self._url} does not answer: {exc!r}") from exc
        if reply.status_code != httpx.codes.OK or not isinstance(document, dict):
            raise TowerUnavailable(f"the watchtower {self._url} answers HTTP {reply.status_code}: {reply.text[:200]}")
        return document
