"""A chat template as engines render it: a Jinja text, or a tokenizer_config.json that carries one. Sandboxed, no clock.

Never loads code or files: whatever a template needs beyond the messages comes from its own bytes.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson
from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from node.core.errors import BadConfig, BadRequest

TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")


class TemplateRefusal(TemplateError):
    """A template's own `raise_exception`."""


class ChatTemplate:
    """Messages to prompt text, deterministically: payer and payee must get the same bytes."""

    def __init__(self, source: bytes) -> None:
        text, self._specials = _parse(source)
        try:
            self._template = _compile(text)
        except TemplateError as exc:
            raise BadConfig(f"the chat template does not compile: {exc}") from exc

    def render(self, messages: object) -> str:
        """The prompt with the generation prompt appended. Raises BadRequest for messages the template refuses."""
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, **self._specials)
        except TemplateError as exc:
            raise BadRequest(f"the chat template refuses these messages: {exc}") from exc
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as exc:
            raise BadRequest("the chat template cannot render these messages") from exc


def _parse(source: bytes) -> tuple[str, dict[str, str]]:
    """The Jinja text and the special tokens; a Jinja text names none, so they render empty."""
    specials = dict.fromkeys(TOKEN_NAMES, "")
    try:
        text = source.decode()
    except UnicodeDecodeError as exc:
        raise BadConfig("the chat template is not UTF-8") from exc
    try:
        config = orjson.loads(source)
    except orjson.JSONDecodeError:
        return text, specials
    if not isinstance(config, dict) or not isinstance(config.get("chat_template"), str):
        raise BadConfig("the template artifact is JSON without a chat_template")
    for name in TOKEN_NAMES:
        specials[name] = _token_text(config.get(name))
    return config["chat_template"], specials


def _token_text(token: object) -> str:
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else ""


def _compile(text: str) -> Template:
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    env.filters["tojson"] = _to_json
    env.globals["raise_exception"] = _refuse
    template = env.from_string(text)
    # Each rendering copies the globals twice; a chain of maps, as the library keeps them, is copied in Python.
    template.globals = dict(template.globals)
    return template


def _refuse(message: object) -> NoReturn:
    raise TemplateRefusal(str(message)[:200])


def _to_json(value: Any, indent: int | None = None) -> str:  # noqa: ANN401 -- any JSON value of a message
    """Engines' filter: plain JSON, nothing escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
