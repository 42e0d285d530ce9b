"""Providers from the registry, for a client that knows none. Their endpoints are strangers' text, checked first."""

from typing import Protocol
from urllib.parse import urlsplit

from node.client.escrow import Listing

PAGE = 100
MOST_PAGES = 50
MOST_PROVIDERS = 16
"""Asked in order of stake; the rest of the market is reached by their offload."""
MAX_URL = 256


class RegistryReader(Protocol):
    """What discovery needs of the chain."""

    def read_listings(self, first: int, count: int) -> list[Listing] | None:
        """One page; None past the end."""


def find_providers(registry: RegistryReader, *, allows_private: bool) -> list[str]:
    """The base URLs of listed providers, most stake first. Raises ChainUnavailable."""
    listings: list[Listing] = []
    for page in range(MOST_PAGES):
        rows = registry.read_listings(page * PAGE, PAGE)
        if rows is None:
            break
        listings.extend(rows)
    best = sorted(listings, key=lambda listing: (-listing.stake, listing.payee))
    urls = [
        listing.endpoint.rstrip("/") for listing in best if is_endpoint(listing.endpoint, allows_http=allows_private)
    ]
    return list(dict.fromkeys(urls))[:MOST_PROVIDERS]


def is_endpoint(text: str, *, allows_http: bool) -> bool:
    """A plain base URL: https (http only where private addresses are allowed), no user, query, fragment, control byte.

    Whether its address may be connected to is decided when it is: see over_aiohttp.GuardedResolver (threat H1).
    """
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    schemes = ("https", "http") if allows_http else ("https",)
    is_plain = not parts.username and not parts.password and not parts.query and not parts.fragment and "@" not in text
    return parts.scheme in schemes and bool(parts.hostname) and is_plain and port != 0 and "\\" not in text
