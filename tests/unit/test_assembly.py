"""The assembler: the same choices whatever the splitting, and no memory for attackers."""

import json
import sys
import time

import pytest

from node.core.assembly import (
    MAX_EVENT_BYTES,
    Assembler,
    SseParser,
    billable_text,
    choices_of_body,
    event_of,
    json_object,
)
from node.core.choices import canonical_json
from node.core.errors import BadRequest

pytestmark = pytest.mark.unit


def sse(*chunks: dict) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks)


def delta(index=0, finish=None, **members) -> dict:
    return {"choices": [{"index": index, "delta": members, "finish_reason": finish}]}


def assemble(raw: bytes, step: int) -> Assembler:
    parser, assembler = SseParser(), Assembler()
    for at in range(0, len(raw), step):
        for event in parser.feed(raw[at : at + step]):
            if chunk := event.chunk():
                assembler.feed(chunk)
    return assembler


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_assembler__any_splitting_of_the_bytes__gives_the_same_choices(step):
    raw = sse(
        delta(role="assistant", content=""), delta(content="Grüße,"), delta(content=" \u2028 💶"), delta(finish="stop")
    )
    (choice,) = assemble(raw, step).choices()
    assert (choice.content, choice.finish_reason) == ("Grüße, \u2028 💶", "stop")


def test_assembler__streamed_and_plain_tool_call__hash_alike():
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"a":1}'}}
    streamed = assemble(
        sse(delta(tool_calls=[{"index": 0, **call}]), delta(tool_calls=[more]), delta(finish="tool_calls")), 50
    )
    whole = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    plain = choices_of_body(
        {"choices": [{"index": 0, "message": {"content": None, "tool_calls": [whole]}, "finish_reason": "tool_calls"}]},
    )
    assert canonical_json(streamed.choices()) == canonical_json(plain)
    assert billable_text(plain[0]) == 'add{"a":1}'


def test_assembler__reasoning_in_either_spelling_or_both__counts_once():
    for members in ({"reasoning": "hm"}, {"reasoning_content": "hm"}, {"reasoning": "hm", "reasoning_content": "hm"}):
        (choice,) = assemble(sse(delta(**members), delta(content="yes", finish="stop")), 9).choices()
        assert billable_text(choice) == "hmyes"


def test_assembler__completions_route__uses_text():
    (choice,) = choices_of_body({"choices": [{"index": 0, "text": "abc", "finish_reason": "length"}]})
    assert choice.to_canonical() == {"index": 0, "text": "abc", "finish_reason": "length"}


def test_assembler__not_finished__says_so():
    assembler = assemble(sse(delta(content="half")), 100)
    assert assembler.has_text
    assert not assembler.is_finished


@pytest.mark.parametrize("index", [-1, 128, "0", 1.5])
def test_assembler__choice_index_out_of_range__is_refused(index):
    with pytest.raises(BadRequest, match="index"):
        Assembler().feed(delta(index=index, content="x"))


def test_parser__comment_and_crlf__are_understood():
    first, second = SseParser().feed(b": wwwserve-receipt abc\r\n\r\ndata: [DONE]\r\n\r\n")
    assert (first.comment, first.data) == ("wwwserve-receipt abc", None)
    assert second.is_done


def test_parser__event_without_end__is_refused():
    parser = SseParser()
    with pytest.raises(BadRequest, match="no end"):
        parser.feed(b"data: " + b"x" * MAX_EVENT_BYTES)


def test_parser__cut_in_mid_event__keeps_the_rest():
    parser = SseParser()
    assert parser.feed(b"data: {}\n\ndata: {") != []
    assert parser.rest == b"data: {"


def test_parser__blank_lines_only__takes_time_in_proportion():
    """Sixteen times as many: some 16 times the time, or 256 times if each event copied the rest of what was read."""

    def seconds(size: int) -> float:
        begun = time.process_time()
        SseParser().feed(b"\n\n" * size)
        return time.process_time() - begun

    few, many = (min(seconds(size) for _ in range(3)) for size in (1 << 13, 1 << 17))
    assert many < 80 * few


@pytest.mark.parametrize("more", ["", ',"nan":NaN'])
def test_chunk__nested_deep__is_the_same_however_deep_the_reader_stands(more: str):
    def deep(frames: int) -> object:
        return deep(frames - 1) if frames else event.chunk() is None

    event = event_of(f'data: {{"x":{"[" * 700}{"]" * 700}{more}}}\n\n'.encode())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    try:
        assert deep(400) == deep(0)
    finally:
        sys.setrecursionlimit(limit)


def test_chunk__half_a_surrogate_pair_or_no_number__is_read():
    chunk = event_of(b'data: {"a":"\\ud83d","b":Infinity}\n\n').chunk()
    assert chunk == {"a": "\ud83d", "b": float("inf")}


def test_json_object__nested_too_deep_for_the_parser__is_none():
    sys.setrecursionlimit(1_000)  # as every process of ours has it: test_recursion_limit.py
    assert json_object("[" * 100_000) is None
    assert json_object(b'{"a":' * 100_000) is None
    assert event_of(b"data: " + b"[" * 100_000 + b"\n\n").chunk() is None


def test_billable_text__half_a_surrogate_pair__can_be_counted():
    (choice,) = assemble(b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n', 5).choices()
    assert billable_text(choice) == "a?"
