"""What a request costs. One formula, one rounding (up, in the payee's favour, by less than one base unit)."""

from node.core.errors import PriceTooLow
from node.core.types import PRICE_UNIT, Amount, TokenCount


def charge_of(tokens: TokenCount, price_prompt: Amount, price_completion: Amount) -> Amount:
    """ceil((prompt x pricePrompt + completion x priceCompletion) / 1e6), base units."""
    exact = tokens.prompt * price_prompt + tokens.completion * price_completion
    return Amount(-(-exact // PRICE_UNIT))


def completion_room(max_price: Amount, prompt_tokens: int, price_prompt: Amount, price_completion: Amount) -> int:
    """The most completion tokens `max_price` buys beside the prompt. Raises PriceTooLow if not even one."""
    left = max_price * PRICE_UNIT - prompt_tokens * price_prompt
    needed = charge_of(TokenCount(prompt_tokens, 1), price_prompt, price_completion)
    if max_price < needed:
        raise PriceTooLow("maxPrice does not cover the prompt and one token", needed=needed, max_price=max_price)
    return left // price_completion if price_completion else 2**31 - 1
