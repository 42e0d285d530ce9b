"""An answer of the stub engine on its way out: whole, in events, or broken in the way the fault names."""

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes import engine_bodies as bodies
from tests.fakes.engine_request import Answer, Refusal

FOREVER = 3_600.0
MIDWAY = {"stall", "crash", "truncated", "error_event", "garbage"}
Json = dict[str, Any]
End = tuple[str | None, str | None]  # finish_reason, stop_reason


async def send_plain(request: web.Request, answer: Answer, model: str) -> web.StreamResponse:
    """One JSON body, or what the fault makes of it."""
    behaviour = answer.behaviour
    await _fail_first(answer)
    if behaviour.fault in {"queue_full", "dead"}:
        failed = bodies.busy() if behaviour.fault == "queue_full" else bodies.dead()
        raise Refusal(failed["error"]["code"], failed)
    await asyncio.sleep(behaviour.ttft + behaviour.delay * behaviour.tokens)
    body = _plain_body(answer, model)
    headers = {"Content-Type": "application/json", "X-Request-Id": answer.ident.partition("-")[2]}
    if behaviour.fault not in {"crash", "stall", "hang_headers"}:
        return web.Response(body=body, headers=headers)
    response = web.StreamResponse(headers=headers | {"Content-Length": str(len(body))})
    await response.prepare(request)
    if behaviour.fault != "hang_headers":
        await response.write(body[: len(body) // 2])
    return await _break(request, response, behaviour.fault)


async def send_stream(request: web.Request, answer: Answer, model: str) -> web.StreamResponse:
    """Server-sent events, or what the fault makes of them."""
    behaviour, fault = answer.behaviour, answer.behaviour.fault
    await _fail_first(answer)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    response.headers["X-Request-Id"] = answer.ident.partition("-")[2]
    await response.prepare(request)
    if fault in {"queue_full", "dead"}:  # the status has gone out: the error comes inside a 200
        await response.write(bodies.late_error(bodies.busy() if fault == "queue_full" else bodies.dead()))
        return response
    if fault == "hang_headers":
        return await _break(request, response, fault)
    await asyncio.sleep(behaviour.ttft)
    for place, one in enumerate(_events(answer, model)):
        if place >= behaviour.after and fault in MIDWAY:
            return await _fail_midway(request, response, fault, one)
        await response.write(one)
        if behaviour.delay:
            await asyncio.sleep(behaviour.delay)
    if fault != "no_done":
        await response.write(bodies.DONE)
    return response


async def _fail_first(answer: Answer) -> None:
    """Faults that come before any header."""
    fault = answer.behaviour.fault
    if fault == "hang":
        await asyncio.sleep(FOREVER)
    refusals: dict[str, tuple[int, Json | str]] = {
        "busy": (503, bodies.busy()),
        "unauthorized": (401, {"error": "Unauthorized"}),
        "not_found": (404, {"detail": "Not Found"}),
        "status_500": (500, "Internal Server Error"),
    }
    if fault in refusals:
        raise Refusal(*refusals[fault])


async def _fail_midway(
    request: web.Request, response: web.StreamResponse, fault: str, one: bytes
) -> web.StreamResponse:
    if fault == "truncated":
        await response.write(one[: len(one) // 2])
    elif fault == "error_event":
        await response.write(bodies.late_error(bodies.dead()))
    elif fault == "garbage":
        await response.write(b"data: <html>not an engine</html>\n\n" + bodies.DONE)
    else:
        return await _break(request, response, fault)
    return response


async def _break(request: web.Request, response: web.StreamResponse, fault: str) -> web.StreamResponse:
    """Silence for ever, or a reset connection."""
    if fault != "crash":
        await asyncio.sleep(FOREVER)
    if request.transport is not None:
        request.transport.abort()
    return response


def _plain_body(answer: Answer, model: str) -> bytes:
    extra = " and more" if answer.behaviour.fault == "extra_text" else ""
    choices = [
        bodies.plain_choice(answer.kind, index, "".join(pieces) + extra, answer.finish, answer.stop)
        | {"logprobs": bodies.logprobs(pieces, answer.listed)}
        for index, pieces in enumerate(answer.pieces)
    ]
    body = json.dumps(bodies.plain(answer.kind, answer.ident, model, choices, answer.usage())).encode()
    if answer.behaviour.fault == "truncated":
        return body[: len(body) // 2]
    return b"<html>not an engine</html>" if answer.behaviour.fault == "garbage" else body


def _events(answer: Answer, model: str) -> list[bytes]:
    """Every event but [DONE], in vLLM's order."""
    made: list[Json] = []
    if answer.kind == "chat":
        counted = _running(answer, 0)
        made += [bodies.first_chunk(answer.ident, model, index, counted) for index in range(len(answer.pieces))]
    done = 0
    for index, text, end, part in _parts(answer):
        done += max(len(part), 1)
        choice = bodies.text_choice(answer.kind, index, text, *end)
        choice["logprobs"] = bodies.logprobs(part, answer.listed) if part else None
        made.append(bodies.chunk(answer.kind, answer.ident, model, [choice]) | _running(answer, done))
    if answer.options.get("include_usage") and (counted := answer.usage()) is not None:
        details = {"prompt_tokens_details": {"cached_tokens": 0, "created_cache_tokens": 0}}
        made.append(bodies.chunk(answer.kind, answer.ident, model, []) | {"usage": counted | details})
    made[-1]["system_fingerprint"] = bodies.FINGERPRINT
    return [bodies.event(one) for one in made]


def _parts(answer: Answer) -> list[tuple[int, str, End, tuple[str, ...]]]:
    """(choice, text, end, tokens with a text) in the order of sending, choices taking turns. The end has none."""
    per_event, parts = answer.behaviour.per_event, []
    for place in range(0, max(1, *(len(pieces) for pieces in answer.pieces)), per_event):
        for index, pieces in enumerate(answer.pieces):
            part = pieces[place : place + per_event]
            is_last = (bool(part) or not place) and place + len(part) >= len(pieces)
            ends_here = bool(part) and is_last and (answer.finish == "length" or answer.stop is not None)
            if part:
                end = (answer.finish, answer.stop) if ends_here else (None, None)
                parts.append((index, "".join(part), end, part))
            if is_last and not ends_here:
                more = " and more" if answer.behaviour.fault == "extra_text" else ""
                parts.append((index, more, ("stop", None), ()))
    return parts


def _running(answer: Answer, done: int) -> Json:
    counted = answer.usage(done) if answer.options.get("continuous_usage_stats") else None
    return {"usage": counted | {"completion_tokens_details": None}} if counted is not None else {}
