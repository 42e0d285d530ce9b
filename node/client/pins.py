"""Which (model, tokenizer, template) this owner pays for: a list shipped with the program, and the owner's additions.

Never the provider's word: with a tokenizer of its own making a provider could count any text as a thousand tokens.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node.core.errors import BadConfig, BadVoucher
from node.core.types import Bytes32
from node.core.wire import bytes_of, hex_of

SHIPPED = Path(__file__).with_name("pins.json")
ANY_MODEL = "*"
"""A pin under this name is trusted for every model name."""
ARTIFACT_LIMIT = 32 << 20
"""Protocol: tokenizer and template are at most 32 MiB each."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One trusted counting rule of one model name."""

    tokenizer: Bytes32
    template: Bytes32


Pins = Mapping[str, frozenset[Pin]]


def load_pins(*files: Path) -> Pins:
    """The union of the files that exist. Raises BadConfig for one that is not a pins file."""
    pins: dict[str, frozenset[Pin]] = {}
    for file in files:
        for name, found in _load(file).items():
            pins[name] = pins.get(name, frozenset()) | found
    return pins


def _load(file: Path) -> dict[str, frozenset[Pin]]:
    if not file.exists():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): frozenset(map(_pin_of, rows)) for name, rows in document.items()}
    except (OSError, ValueError, AttributeError, TypeError, BadVoucher) as exc:
        raise BadConfig(f"{file} is not a pins file: {exc}", file=str(file)) from exc


def _pin_of(row: Mapping[str, object]) -> Pin:
    tokenizer, template = (Bytes32(bytes_of(row.get(name), 32, name)) for name in ("tokenizer", "template"))
    return Pin(tokenizer, template)


def add_pin(file: Path, model: str, pin: Pin) -> None:
    """The owner trusts one more pin. Raises BadConfig."""
    pins = _load(file)
    pins[model] = pins.get(model, frozenset()) | {pin}
    rows = {
        name: [{"tokenizer": hex_of(p.tokenizer), "template": hex_of(p.template)} for p in sorted(found, key=repr)]
        for name, found in sorted(pins.items())
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    except OSError as exc:
        raise BadConfig(f"cannot write {file}: {exc.strerror}", file=str(file)) from exc


def check_pinned(pins: Pins, model: str, pin: Pin) -> None:
    """Raises BadConfig, with the command that would add the pin."""
    if pin in pins.get(model, frozenset()) or pin in pins.get(ANY_MODEL, frozenset()):
        return
    tokenizer, template = hex_of(pin.tokenizer), hex_of(pin.template)
    raise BadConfig(
        f"the tokenizer and template offered for {model} are not in your list; if you trust them: "
        f"python scripts/gateway.py trust {model} {tokenizer} {template}",
        model=model,
        tokenizer=tokenizer,
        template=template,
    )
