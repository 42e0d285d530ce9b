"""Canonical answers: the same text has one hash however it was streamed."""

import json

from hypothesis import given
from hypothesis import strategies as st

from node.core.choices import Choice, canonical_json, response_hash
from node.core.types import ZERO32, Bytes32


def test_canonical__members__are_sorted_and_compact() -> None:
    assert canonical_json([Choice(0, "hé", "stop")]) == '[{"content":"hé","finish_reason":"stop","index":0}]'.encode()


def test_canonical__order_of_choices__does_not_matter() -> None:
    one, two = Choice(0, "a", "stop"), Choice(1, "b", "length")
    assert canonical_json([two, one]) == canonical_json([one, two])


def test_canonical__plain_completion__says_text() -> None:
    assert canonical_json([Choice(0, "a", None, "text")]) == b'[{"finish_reason":null,"index":0,"text":"a"}]'


def test_canonical__reasoning_and_tools__are_included_when_there() -> None:
    row = canonical_json([Choice(0, "", "stop", reasoning="r", tool_calls=({"id": "1"},))])
    assert b'"reasoning":"r"' in row
    assert b'"tool_calls":[{"id":"1"}]' in row


def test_canonical__lone_surrogate__has_an_encoding() -> None:
    assert canonical_json([Choice(0, "\ud800", "stop")])


def test_hash__salt_or_text_differs__differs() -> None:
    base = response_hash(ZERO32, [Choice(0, "a", "stop")])
    assert base != response_hash(Bytes32(b"\x01" * 32), [Choice(0, "a", "stop")])
    assert base != response_hash(ZERO32, [Choice(0, "a", "length")])


@given(
    st.builds(
        Choice,
        st.integers(0, 127) | st.booleans(),
        st.text(),
        st.none() | st.text(),
        st.sampled_from(["content", "text"]),
        st.text(max_size=3),
    )
)
def test_canonical_json__any_choice__is_what_the_encoder_writes(choice: Choice) -> None:
    text = json.dumps([choice.to_canonical()], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical_json([choice]) == text.encode("utf-8", "backslashreplace")
