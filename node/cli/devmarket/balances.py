"""Every balance of a market at one moment, read from the contracts. Base units; decides nothing."""

from dataclasses import dataclass
from typing import Any

from node.cli.devmarket.rpc import DevChain

U128 = "uint128"


@dataclass(frozen=True, slots=True)
class Contracts:
    """Addresses from the deployment file."""

    escrow: str
    registry: str
    currency: str
    symbol: str
    decimals: int

    @staticmethod
    def of(deployment: dict[str, Any]) -> "Contracts":
        """From the parsed deployment file."""
        return Contracts(
            deployment["escrow"],
            deployment["registry"],
            deployment["currency"],
            deployment["currency_symbol"],
            int(deployment["currency_decimals"]),
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """One line of the balance sheet: whose, what, how much."""

    owner: str
    account: str
    amount: int


def read_balances(
    chain: DevChain,
    contracts: Contracts,
    client: str,
    providers: dict[str, str],
) -> list[Balance]:
    """Wallets, free and allotted deposits, earnings and stakes; `providers` is name -> owner address."""
    rows = [
        Balance("client", "wallet", _wallet(chain, contracts, client)),
        Balance("client", "escrow, free", chain.view(contracts.escrow, "free(address)", [U128], client)[0]),
    ]
    for name, owner in providers.items():
        rows += _pair(chain, contracts, client, name, owner)
    for name, owner in providers.items():
        rows += [
            Balance(name, "wallet", _wallet(chain, contracts, owner)),
            Balance(name, "escrow, earnings", _earnings(chain, contracts, owner)),
            Balance(name, "registry, stake", _stake(chain, contracts, owner)),
        ]
    rows.append(Balance("escrow", "currency held", _wallet(chain, contracts, contracts.escrow)))
    rows.append(Balance("registry", "currency held", _wallet(chain, contracts, contracts.registry)))
    return rows


def _pair(chain: DevChain, contracts: Contracts, client: str, name: str, owner: str) -> list[Balance]:
    allotted, claimed, _, _ = chain.view(
        contracts.escrow, "pairs(address,address)", [U128, U128, U128, "uint64"], client, owner
    )
    return [
        Balance("client", f"allotted to {name}, left", allotted - claimed),
        Balance("client", f"paid to {name}", claimed),
    ]


def _wallet(chain: DevChain, contracts: Contracts, holder: str) -> int:
    return int(chain.view(contracts.currency, "balanceOf(address)", ["uint256"], holder)[0])


def _earnings(chain: DevChain, contracts: Contracts, owner: str) -> int:
    released, previous, current, _ = chain.view(
        contracts.escrow, "earningsOf(address)", [U128, U128, U128, "uint64"], owner
    )
    return int(released + previous + current)


def _stake(chain: DevChain, contracts: Contracts, owner: str) -> int:
    return int(chain.view(contracts.registry, "slashable(address)", [U128], owner)[0])
