"""The prompt of a request body in the one plain form that payer and payee count and that is sent to the engine.

Every message becomes {role, content: text}: a member or a part that only one side's template would see is refused.
"""

from collections.abc import Mapping

from node.core.errors import BadRequest, NotOffered

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
MAX_MESSAGES = 4_096
ROLES = frozenset({"system", "developer", "user", "assistant"})


def counted_prompt(path: str, fields: Mapping[str, object]) -> dict[str, object]:
    """`messages` of a chat body or `prompt` of a completion body. Raises BadRequest or NotOffered."""
    return _messages(fields) if path == CHAT else _prompt(fields)


def _prompt(fields: Mapping[str, object]) -> dict[str, object]:
    prompt = fields.get("prompt")
    if isinstance(prompt, list):
        raise NotOffered("one prompt a request, as text (no lists, no token ids)", param="prompt")
    if not isinstance(prompt, str) or not prompt:
        raise BadRequest("prompt must be text", param="prompt")
    return {"prompt": prompt}


def _messages(fields: Mapping[str, object]) -> dict[str, object]:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message", param="messages")
    if len(messages) > MAX_MESSAGES:
        raise BadRequest(f"at most {MAX_MESSAGES} messages", param="messages")
    return {"messages": [_message(message) for message in messages]}


def _message(message: object) -> dict[str, object]:
    if not isinstance(message, dict):
        raise BadRequest("a message must be an object", param="messages")
    role = message.get("role")
    if role not in ROLES:
        raise NotOffered(f"the role {str(role)[:40]!r} is not served here", param="messages")
    for name, value in message.items():
        if name not in ("role", "content", "name") and value:
            raise NotOffered(f"{name!r} in a message is not served here", param="messages")
    return {"role": role, "content": _content(message.get("content"))}


def _content(content: object) -> str:
    """Text, or text parts joined as engines join them; pictures and sound are not counted alike on both sides."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequest("content must be text or a list of text parts", param="messages")
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise NotOffered("only text parts are served here", param="messages")
        texts.append(part["text"])
    return "\n".join(texts)
