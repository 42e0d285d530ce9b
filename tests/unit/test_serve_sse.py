"""Splitting an engine's stream: what passes on, what is held, whatever the borders."""

import json
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.client.delivery import Meter
from node.core.assembly import Assembler
from node.core.errors import BadRequest, EngineFailed
from node.services.answer import Answer
from node.services.events import frame_of, parse_events, read_events
from node.services.sse import MAX_EVENT_BYTES, EventSplitter, comment, data_event, parse_event

ROLE = data_event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
HELLO = data_event({"choices": [{"index": 0, "delta": {"content": 'a "choices":[] [DONE]'}, "finish_reason": None}]})
STOP = data_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
USAGE = data_event({"choices": [], "usage": {"completion_tokens": 3}})
ERROR = data_event({"error": {"message": "boom", "code": 503}})
DONE = b"data: [DONE]\n\n"
STREAM = ROLE + HELLO + STOP + USAGE + DONE


def feed_all(blocks: list[bytes]) -> tuple[bytes, EventSplitter]:
    splitter = EventSplitter()
    return b"".join(splitter.feed(block) for block in blocks), splitter


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_splitter__any_borders__pass_the_same_and_hold_the_tail(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    passed, splitter = feed_all([STREAM[a:b] for a, b in pairwise(edges)])
    assert passed == ROLE + HELLO + STOP
    assert splitter.is_done
    assert splitter.usage_event == {"choices": [], "usage": {"completion_tokens": 3}}


def test_splitter__event_without_an_end__is_given_up() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"x" * MAX_EVENT_BYTES) == b""
    with pytest.raises(EngineFailed, match="without an end"):
        splitter.feed(b"x")
    with pytest.raises(EngineFailed, match="without an end"):
        EventSplitter().feed(HELLO + b"x" * (MAX_EVENT_BYTES + 1))


@given(st.lists(st.integers(0, 2 * len(STREAM)), max_size=12))
def test_splitter__carriage_returns__read_as_plain_lines(cuts: list[int]) -> None:
    stream = STREAM.replace(b"\n", b"\r\n")
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    passed, splitter = feed_all([stream[a:b] for a, b in pairwise(edges)])
    assert passed == ROLE + HELLO + STOP
    assert splitter.is_done


@pytest.mark.parametrize("end", [b"event: x\ndata: [DONE]\n\n", b": x\rdata:[DONE]\n\n"])
def test_splitter__end_beside_another_field__ends_it_where_the_payers_answer_ends(end: bytes) -> None:
    passed, splitter = feed_all([ROLE + HELLO + end + STOP])
    assert (passed, splitter.is_done) == (ROLE + HELLO, True)
    payer = Meter()
    assert payer.feed(ROLE + HELLO + end + STOP) == ROLE + HELLO
    assert payer.is_done


def test_splitter__error_event__is_held_with_what_follows() -> None:
    passed, splitter = feed_all([ROLE + HELLO + ERROR + STOP + DONE])
    assert passed == ROLE + HELLO
    assert splitter.error == {"message": "boom", "code": 503}
    assert splitter.is_done


def test_splitter__error_as_text__is_an_error_too() -> None:
    _, splitter = feed_all([b'data: {"error": "Unauthorized"}\n\n'])
    assert splitter.error == {"message": "Unauthorized"}


def test_splitter__comment_alone__is_no_event_yet() -> None:
    passed, splitter = feed_all([b": ping\n\n"])
    assert (passed, splitter.has_events) == (b": ping\n\n", False)


def test_splitter__running_usage_with_choices__passes() -> None:
    chunk = data_event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": {"completion_tokens": 1}})
    assert feed_all([chunk])[0] == chunk


def test_parse_event__comment_and_broken_json__are_none() -> None:
    assert parse_event(b": hello") is None
    assert parse_event(b"data: {") is None
    assert parse_event(b"data: [1]") is None


def test_comment__is_a_whole_event() -> None:
    assert comment(b"x") == b": x\n\n"


TEXTS = st.lists(st.text(max_size=8), max_size=20)


@given(TEXTS, TEXTS)
def test_answer__fast_and_slow_reading__agree(texts: list[str], reasons: list[str]) -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"content": t}, "finish_reason": None}]} for t in texts]
    chunks += [{"choices": [{"index": 0, "delta": {"reasoning": r}, "finish_reason": None}]} for r in reasons]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    fast, slow = Answer(), Answer()
    fast.add_events(b"".join(data_event(chunk) for chunk in chunks))
    for chunk in chunks:
        slow.add_events(b": a comment forces the slow way\n\n" + data_event(chunk))
    assert fast.choices() == slow.choices()
    assert fast.choices()[0].content == "".join(texts)
    assert fast.choices()[0].reasoning == "".join(reasons)
    assert fast.is_finished


def test_answer__long_stream__is_compacted_on_the_way() -> None:
    answer = Answer()
    chunk = data_event(
        {"choices": [{"index": 0, "delta": {"content": "x" * 100}, "finish_reason": None}], "pad": "y" * 900}
    )
    for _ in range(1_000):
        answer.add_events(chunk)
    assert sum(map(len, answer._raw)) < 300 * 1024
    assert answer.texts() == ["x" * 100_000]


@pytest.mark.parametrize("value", [True, -1, 1.5, "3", None])
def test_usage__that_is_no_count__is_not_believed(value: object) -> None:
    answer = Answer()
    answer.add_body({"choices": [], "usage": {"completion_tokens": value}})
    assert answer.usage("completion_tokens") is None


def test_parse_events__regular_block__is_one_parse_with_the_same_result() -> None:
    assert list(parse_events(ROLE + HELLO)) == [orjson.loads(ROLE[6:]), orjson.loads(HELLO[6:])]
    assert list(parse_events(b": x\n\n" + HELLO)) == [orjson.loads(HELLO[6:])]
    assert list(parse_events(b"")) == []


@pytest.mark.parametrize(
    "event",
    [
        b"event: message\nid: 7\n" + HELLO,
        b": a comment\n" + HELLO,
        HELLO.replace(b"}]", b',"logprobs":NaN}]', 1),
        HELLO.replace(b'"content":"', b'"content":"\\ud83d', 1),
        HELLO.replace(b'"content":"', b'"content":"\xff', 1),
    ],
)
def test_answer__odd_event_of_an_engine__is_read_as_the_payer_reads_it(event: bytes) -> None:
    ours, theirs = Answer(), Meter()
    ours.add_events(ROLE + event)
    theirs.feed(ROLE + event)
    assert ours.choices() == theirs.assembler.choices()
    assert "".join(ours.texts())


@pytest.mark.parametrize(
    "events",
    [
        b"data: [1\n\n" + HELLO + b"data: 2]\n\n",
        b"data: [1]\n\n",
        HELLO[:-2] + b"," + HELLO[5:],
        b"data: {\n\n",
        b"data:\n\n",
    ],
)
def test_answer__data_that_is_not_one_object_an_event__is_refused_by_both_sides(events: bytes) -> None:
    with pytest.raises(EngineFailed, match="not one JSON object"):
        list(parse_events(ROLE + events))
    payer = Meter()
    assert payer.feed(ROLE + events + STOP) in (ROLE, ROLE + HELLO)
    assert payer.problem is not None
    assert payer.assembler.choices()[0].finish_reason is None


@pytest.mark.parametrize("index", [b"false", b"true", b"0.0", b'"0"'])
def test_answer__index_that_only_equals_a_number__is_refused_by_both_sides(index: bytes) -> None:
    odd = HELLO.replace(b'"index":0', b'"index":' + index)
    ours, payer = Answer(), Meter()
    ours.add_events(ROLE + odd)
    with pytest.raises(EngineFailed, match="shape"):
        ours.choices()
    payer.feed(ROLE + odd)
    assert payer.problem is not None


def test_meter__line_ends_of_both_kinds_at_once__end_an_event_where_a_node_ends_it() -> None:
    mixed = ROLE[:-1] + b"\r\n" + HELLO[:-1] + b"\r\n"
    payer, (passed, _) = Meter(), feed_all([mixed])
    assert payer.feed(mixed) == mixed
    assert payer.assembler.choices()[0].content == 'a "choices":[] [DONE]'
    assert passed == ROLE + HELLO


ODD = [
    ROLE,
    STOP,
    b": a comment\n\n",
    b'data: {"x":"y"}\n\n',
    b"event: x\n" + HELLO,
    HELLO.replace(b'"index"', b'"\\u0069ndex"'),
]
PIECES = st.text(st.sampled_from('ab "\\\n\t{}[],:é€😀\ud83d\x7f')) | st.text(max_size=6)


def usual(text: bytes, other: bytes = b"x", more: bytes = b"") -> bytes:
    """An event as engines send them; its text and another string are put in as they are."""
    choices = b'[{"index":0,"delta":{"content":"' + text + b'"},"finish_reason":null}]'
    return b'data: {"id":"1","other":"' + other + b'","choices":' + choices + more + b"}\n\n"


def seen(assembler: Assembler) -> object:
    return assembler.choices(), assembler.is_finished, assembler.usage, assembler.error


def read(block: bytes) -> object:
    """What a node makes of it; None where it refuses."""
    assembler = Assembler()
    try:
        for chunk in read_events(block):
            assembler.feed(chunk)
    except (BadRequest, EngineFailed):
        return None
    return seen(assembler)


def read_by_payer(block: bytes) -> object:
    """One by one; None where the payer refuses."""
    payer = Meter()
    payer.feed(block)
    return None if payer.problem else seen(payer.assembler)


@given(
    st.lists(PIECES, max_size=30),
    st.sampled_from([b"", b"fp%d", b"\\n%d", b"\xc3\xa9%d"]),
    st.sampled_from([True, False]),
    st.lists(st.tuples(st.integers(0, 90), st.sampled_from(ODD)), max_size=4),
)
def test_read_events__usual_and_odd_ones_mixed__as_the_payer_reads_them(
    texts: list[str], other: bytes, is_ascii: object, odd: list[tuple[int, bytes]]
) -> None:
    raw = [json.dumps(text, ensure_ascii=bool(is_ascii))[1:-1].encode("utf-8", "surrogatepass") for text in texts]
    events = [usual(text, other.replace(b"%d", b"%02d" % place)) for place, text in enumerate([b"ab"] * 60 + raw)]
    for place, event in odd:
        events.insert(place, event)
    assert read(b"".join(events)) == read_by_payer(b"".join(events))


@pytest.mark.parametrize(("other", "is_framed"), [(b"x", True), (b"%03d", False)])
def test_frame_of__events_that_differ_in_their_text_alone__is_found(other: bytes, is_framed: object) -> None:
    events = [usual(b"ab", other.replace(b"%03d", b"%03d" % number)) for number in range(60)]
    assert (frame_of(b"".join(events)) is not None) == is_framed
    assert len(list(read_events(b"".join(events)))) == 1


A, B = usual(b"a"), usual(b"b")
SHIFTED = b',"extra":{"content":"a"}'


def numbered(*odd: bytes) -> list[bytes]:
    """Another string varies in these, and it is more than it seems in the odd ones."""
    return [usual(b"a", b"%02d" % number) for number in range(60)] + [*odd, A]


def keyed(more: bytes) -> list[bytes]:
    """What varies is a name, and in the last event one that matters."""
    names = [b"key%02d" % number for number in range(60)] + [b"usage"]
    return [A.replace(b'"other":"x"', more + b',"' + name + b'":{"completion_tokens":7}') for name in names]


@pytest.mark.parametrize(
    "events",
    [
        [usual(b"t", b"x", SHIFTED)] * 60 + [usual(b"t", b"x", SHIFTED.replace(b"a", b"b"))],
        [usual(b"wwwserve-text", b"x", SHIFTED)] * 60 + [usual(b"wwwserve-text", b"x", SHIFTED.replace(b"a", b"b"))],
        [usual(b"\\u0077wwserve-text", b"x", SHIFTED)] * 60 + [usual(b"b", b"x", SHIFTED)],
        keyed(b'"z":0'),
        keyed(b'"z":"wwwserve-other"'),
        keyed(b'"z":"\\u0077wwserve-other"'),
        [A] * 60 + [A.replace(b'"content":"a"', b'"content":"')],
        [A] * 60 + [usual(b"a\\"), usual(b","), A],
        [A] * 60 + [usual(b'a","'), A],
        [A] * 60 + [usual(b'a","b":"'), usual(b'"}}],"x":[{"y":{"z":"'), A],
        [A] * 60 + [usual(b"\xc3"), usual(b"\xa9"), A],
        [A] * 60 + [usual(b"\\ud83d"), usual(b"\\ude00"), A],
        [A] * 60 + [usual(b"a\nb"), A],
        numbered(usual(b"b", b"a\\"), usual(b"c", b"nb")),
        numbered(usual(b"b", b"\x01\x02")),
        numbered(usual(b"b", b"e\xc3"), usual(b"c", b"\xa9e")),
        numbered(usual(b"b", b'",'), usual(b"c", b'":')),
        [A] * 60 + [A.replace(b'"finish_reason":null', b'"finish_reason":"stop"'), B],
        [usual(b"a", b"x", b',"usage":{"completion_tokens":1}')] * 60,
        [usual(b"a", b"x", b',"error":null')] * 60,
        [A.replace(b',"choices"', b',\n"choices"')] * 60,
        [A.replace(b',"choices"', b',\r"choices"')] * 60,
        [A.replace(b"data: ", b"data: \n")] * 60,
        [A] * 60 + [A[:-1] + b"\r\n" + B, A],
    ],
)
def test_read_events__events_made_to_look_usual__as_the_payer_reads_them(events: list[bytes]) -> None:
    assert read(b"".join(events)) == read_by_payer(b"".join(events))


def after_a_line(end: bytes) -> bytes:
    """The payer reads no more of an event than its lines of data: here the first of each, A and B."""
    return A[:-2] + end + b"," + usual(b"more")[6:-3] + b',"k":[1\n\n' + B[:-2] + end + b"]}\n\n"


@pytest.mark.parametrize(
    "block",
    [
        after_a_line(b"\n"),
        after_a_line(b"\r"),
        A[:-2] + b"," + B[6:] + b'data: {"k":[{}\n\ndata: {}]}\n\n',
        A[:-2] + b",9007199254740993," + B[6:] + b'data: {"k":[{}\n\ndata: {}]}\n\n',
        A[:-2] + b",9007199254740993.0," + B[6:] + b'data: {"k":[{}\n\ndata: {}]}\n\n',
        A[:-2] + b",9.007199254740993e15," + B[6:] + b'data: {"k":[{}\n\ndata: {}]}\n\n',
        A[:-2] + b"\x0b\n\n",
        A.replace(b',"choices"', b',\n"choices"') + B,
        A[:-1] + b"\r\n" + B,
        A + A[:-3] + b',"deep":' + b"[" * 1_000 + b"]" * 1_000 + b"}\n\n",
        A + A[:-3] + b',"deep":' + b"[" * 1_000 + b"]" * 1_000 + b',"nan":NaN}\n\n',
    ],
)
def test_read_events__one_parse_would_see_other_events__as_the_payer_reads_them(block: bytes) -> None:
    assert read(block) == read_by_payer(block)
