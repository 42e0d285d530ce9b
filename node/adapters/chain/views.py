"""What a person or a client asks the contracts, as of one named block: two reads without one may mix two states."""

from dataclasses import dataclass
from typing import Any

from node.adapters.chain.abi import Interface, load_artifact
from node.adapters.chain.creating import artifacts_hash, check_code
from node.adapters.chain.evm import EvmChain
from node.adapters.chain.logs import unhex
from node.core.errors import BadConfig
from node.core.facts import Block
from node.core.folds import ProviderView
from node.core.hashing import address_word
from node.core.transactions import Call
from node.core.types import ZERO_ADDRESS, Address, Amount, Bytes32, Seconds

PAGE = 100
"""Providers read in one call."""


@dataclass(frozen=True, slots=True)
class PairOnChain:
    """A pair in the escrow; `allotted` and `claimed` are lifetime totals."""

    allotted: Amount
    claimed: Amount
    thawing: Amount
    thaw_end: Seconds

    @property
    def cover_left(self) -> Amount:
        """What can still be claimed and is not being taken back."""
        return Amount(self.allotted - self.thawing - self.claimed)


@dataclass(frozen=True, slots=True)
class PayeeOnChain:
    """A payee's keys in the escrow; generation 0: no operator yet."""

    operator: Address
    generation: int
    payout: Address


@dataclass(frozen=True, slots=True)
class Earnings:
    """A payee's earnings: `released` can be collected, `unreleased` is still held."""

    released: Amount
    unreleased: Amount


class Views:
    """Reads of one deployment at one block."""

    def __init__(self, chain: EvmChain, block: Block) -> None:
        self._chain = chain
        self.block = block
        self._currency = Interface.of(load_artifact("DevCurrency"))

    async def _read(self, to: Address, interface: Interface, function: str, *args: object) -> Any:  # noqa: ANN401
        call = Call(to, interface.encode_call(function, *args))
        raw = await self._chain.call(call, block=hex(self.block.number))
        return interface.decode_result(function, raw)[0]

    async def _escrow(self, function: str, *args: object) -> Any:  # noqa: ANN401 -- the ABI's values
        return await self._read(self._chain.deployment.escrow, self._chain.escrow, function, *args)

    async def _registry(self, function: str, *args: object) -> Any:  # noqa: ANN401
        return await self._read(self._chain.deployment.registry, self._chain.registry, function, *args)

    async def native_balance(self, owner: Address) -> int:
        """Wei."""
        return int(await self._chain.request("eth_getBalance", "0x" + owner.hex(), hex(self.block.number)), 16)

    async def code(self, address: Address) -> bytes:
        """The code at an address; empty when there is none."""
        return unhex(await self._chain.request("eth_getCode", "0x" + address.hex(), hex(self.block.number)))

    async def balance(self, owner: Address) -> Amount:
        """Currency in the owner's own hands."""
        return Amount(await self._read(self._chain.deployment.currency, self._currency, "balanceOf", owner))

    async def allowance(self, owner: Address, spender: Address) -> Amount:
        """What `spender` may take of `owner`'s currency."""
        found = await self._read(self._chain.deployment.currency, self._currency, "allowance", owner, spender)
        return Amount(found)

    async def free(self, payer: Address) -> Amount:
        """Deposited and not allotted."""
        return Amount(await self._escrow("free", payer))

    async def pair(self, payer: Address, payee: Address) -> PairOnChain:
        """One pair."""
        found = await self._escrow("pairs", payer, payee)
        return PairOnChain(found["allotted"], found["claimed"], found["thawing"], found["thawEnd"])

    async def lane_claimed(self, payer: Address, payee: Address, lane: Address) -> Amount:
        """What was claimed through one lane, ever."""
        return Amount((await self._escrow("laneState", payer, payee, lane))["claimed"])

    async def payee(self, payee: Address) -> PayeeOnChain:
        """A payee's keys."""
        found = await self._escrow("payees", payee)
        return PayeeOnChain(found["operator"], found["generation"], found["payout"])

    async def earnings(self, payee: Address) -> Earnings:
        """A payee's earnings."""
        found = await self._escrow("earningsOf", payee)
        return Earnings(found["released"], Amount(found["previous"] + found["current"]))

    async def payees_of(self, payer: Address) -> tuple[Address, ...]:
        """Every payee this payer ever allotted to, by the escrow's events."""
        topic = next(topic for topic, entry in self._chain.escrow.events.items() if entry["name"] == "Allotted")
        wanted = {
            "fromBlock": hex(self._chain.deployment.deploy_block),
            "toBlock": hex(self.block.number),
            "address": "0x" + self._chain.deployment.escrow.hex(),
            "topics": ["0x" + topic.hex(), "0x" + address_word(payer).hex()],
        }
        logs = await self._chain.request("eth_getLogs", wanted)
        return tuple(dict.fromkeys(Address(unhex(log["topics"][2])[12:]) for log in logs))

    async def signer_payer(self, signer: Address) -> Address:
        """Whom a further signer is bound to; zero for nobody."""
        return Address((await self._escrow("signerState", signer))["payer"])

    async def min_stake(self) -> Amount:
        """The least stake a provider may have."""
        return Amount(await self._registry("minStake"))

    async def provider(self, provider: Address) -> ProviderView:
        """One provider, listed or not."""
        return _provider_of(await self._registry("provider", provider))

    async def providers(self) -> tuple[ProviderView, ...]:
        """Every listed provider, all pages at this block (threat I4)."""
        found: list[ProviderView] = []
        while True:
            call = Call(
                self._chain.deployment.registry,
                self._chain.registry.encode_call("providers", len(found), PAGE),
            )
            raw = await self._chain.call(call, block=hex(self.block.number))
            page, total = self._chain.registry.decode_result("providers", raw)
            found += [_provider_of(item) for item in page]
            if len(found) >= total or not page:
                return tuple(found)

    async def check_set(self) -> None:
        """Chain and deployment file agree: our code at both addresses, wired together. Raises BadConfig.

        A set made by another version of this package is taken at its views' word: nobody's exit may hang on a build.
        """
        deployment = self._chain.deployment
        parts = {"Escrow": deployment.escrow, "Registry": deployment.registry}
        if deployment.duels is not None:
            parts["Duels"] = deployment.duels
        for name, address in parts.items():
            code = await self.code(address)
            if not code:
                raise BadConfig(f"there is no {name} on this chain: is the deployment file of another run?")
            if deployment.artifacts_hash == artifacts_hash():
                check_code(name, code)
        found = {
            "currency": await self._escrow("currency"),
            "registry": await self._escrow("registry"),
            "escrow": await self._registry("escrow"),
            "duels": await self._escrow("duels"),
            "thaw_seconds": await self._escrow("thawSeconds"),
            "domain": await self._escrow("domainSeparator"),
        }
        wanted = {
            "currency": deployment.currency,
            "registry": deployment.registry,
            "escrow": deployment.escrow,
            "duels": deployment.duels or ZERO_ADDRESS,
            "thaw_seconds": deployment.thaw_seconds,
            "domain": deployment.domain.separator,
        }
        wrong = [name for name, value in wanted.items() if found[name] != value]
        if wrong:
            raise BadConfig(f"the contracts on chain and the deployment file differ in {', '.join(wrong)}")


def _provider_of(found: dict[str, Any]) -> ProviderView:
    return ProviderView(
        provider=Address(found["provider"]),
        is_listed=found["listed"],
        endpoint=found["endpoint"],
        offer_hash=Bytes32(found["offerHash"]),
        stake=found["stake"],
        unbonding=found["unbonding"],
        unbond_end=found["unbondEnd"],
    )
