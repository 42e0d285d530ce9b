"""vLLM 0.32's answers, field by field, as they came from a real one. Values change; names, order and nulls do not."""

import json
from collections.abc import Sequence
from typing import Any
from zlib import crc32

FINGERPRINT = "vllm-0.32.0-00000000"
BUSY = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
DONE = b"data: [DONE]\n\n"
CREATED = 1_700_000_000  # fixed, so that the stub's answers can be compared byte by byte
Json = dict[str, Any]


def error(status: int, kind: str, message: str, param: str | None = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def bad_request(message: str, param: str | None = None) -> Json:
    return error(400, "BadRequestError", message, param)


def validation(detail: str, param: str | None) -> Json:
    return error(400, "Bad Request", f"1 validation error:\n  {detail}", param)


def busy() -> Json:
    return error(503, "Service Unavailable", BUSY)


def dead() -> Json:
    return error(500, "InternalServerError", DEAD)


def too_long(limit: int) -> Json:
    message = (
        f"This model's maximum context length is {limit} tokens. However, your prompt contains at least {limit + 1} "
        "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        f"prompt. (parameter=input_tokens, value={limit + 1})"
    )
    return bad_request(message, "input_tokens")


def models(name: str, limit: int) -> Json:
    permission = {
        "id": "modelperm-0000000000000000", "object": "model_permission", "created": CREATED,
        "allow_create_engine": False, "allow_sampling": True, "allow_logprobs": True, "allow_search_indices": False,
        "allow_view": True, "allow_fine_tuning": False, "organization": "*", "group": None, "is_blocking": False,
    }  # fmt: skip
    model = {
        "id": name, "object": "model", "created": CREATED, "owned_by": "vllm", "root": f"/secret/path/{name}",
        "parent": None, "max_model_len": limit, "permission": [permission],
    }  # fmt: skip
    return {"object": "list", "data": [model]}


def usage(prompt: int, completion: int) -> Json:
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


def final_usage(prompt: int, completion: int) -> Json:
    details = {"cached_tokens": 0, "created_cache_tokens": 0}
    return usage(prompt, completion) | {"prompt_tokens_details": details}


def plain(kind: str, ident: str, model: str, choices: list[Json], counted: Json | None) -> Json:
    chat = kind == "chat"
    body = {
        "id": ident, "object": "chat.completion" if chat else "text_completion", "created": CREATED, "model": model,
        "choices": choices, "service_tier": None, "system_fingerprint": FINGERPRINT,
    }  # fmt: skip
    if counted is not None:
        more = {"cached_tokens": 0, "created_cache_tokens": 0 if chat else None, "multimodal_tokens": None}
        body["usage"] = counted | {"prompt_tokens_details": more, "completion_tokens_details": None}
    extra = ("prompt_logprobs", "prompt_token_ids", "prompt_text") if chat else ()
    return body | dict.fromkeys((*extra, "kv_transfer_params", "ec_transfer_params", "metrics"))


def logprobs(pieces: Sequence[str], listed: int | None) -> Json | None:
    """Of a chat's tokens: a function of the token alone."""
    if listed is None:
        return None
    rows = [{"token": one, "logprob": -(crc32(one.encode()) % 3000) / 1000, "bytes": [*one.encode()]} for one in pieces]
    return {"content": [{**row, "top_logprobs": [row][:listed]} for row in rows]}


def plain_choice(kind: str, index: int, text: str, finish: str, stop: str | None) -> Json:
    end = {"logprobs": None, "finish_reason": finish, "stop_reason": stop, "token_ids": None}
    if kind != "chat":
        return {"index": index, "text": text, **end} | dict.fromkeys(
            ("prompt_logprobs", "prompt_token_ids", "routed_experts")
        )
    nulls = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
    return {"index": index, "message": {"role": "assistant", "content": text, **nulls}, **end, "routed_experts": None}


def chunk(kind: str, ident: str, model: str, choices: list[Json]) -> Json:
    name = "chat.completion.chunk" if kind == "chat" else "text_completion"
    return {"id": ident, "object": name, "created": CREATED, "model": model, "choices": choices}


def first_chunk(ident: str, model: str, index: int, counted: Json) -> Json:
    delta = {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    return chunk("chat", ident, model, [delta]) | counted | {"prompt_token_ids": None, "prompt_text": None}


def text_choice(kind: str, index: int, text: str, finish: str | None, stop: str | None) -> Json:
    if kind != "chat":
        end = {"logprobs": None, "finish_reason": finish, "stop_reason": stop}
        return {"index": index, "text": text, **end, "prompt_token_ids": None, "token_ids": None}
    choice: Json = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    return choice | ({"stop_reason": stop} if finish else {}) | {"token_ids": None}


def event(body: Json) -> bytes:
    """One server-sent event; NaN comes out as NaN, which is not JSON: that is one of the faults."""
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def late_error(body: Json) -> bytes:
    """An error inside a stream, and its end; written with other blanks than the events before it."""
    return b"data: " + json.dumps(body).encode() + b"\n\n" + DONE


METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="{model}"}} {running}.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="{model}"}} {waiting}.0
vllm:num_requests_waiting_by_reason{{engine="0",model_name="{model}",reason="capacity"}} {waiting}.0
vllm:num_requests_waiting_by_reason{{engine="0",model_name="{model}",reason="deferred"}} 0.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{engine="0",model_name="{model}"}} {kv}
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{engine="0",model_name="{model}"}} {prompt_tokens}.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="{model}"}} {generation_tokens}.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="{model}"}} {stop}.0
vllm:request_success_total{{engine="0",finished_reason="length",model_name="{model}"}} {length}.0
vllm:request_success_total{{engine="0",finished_reason="abort",model_name="{model}"}} 0.0
vllm:request_success_total{{engine="0",finished_reason="error",model_name="{model}"}} 0.0
# TYPE vllm:admission_rejections_total counter
vllm:admission_rejections_total{{model_name="{model}",reason="max_num_queued_reqs"}} {rejected}.0
"""
