"""What endpoints answer, decoded or refused: JSON-RPC errors, reverts, logs, blooms, receipts. No network."""

from typing import Any

import pytest

from node.adapters.chain.abi import Interface, error_table, load_artifact, reverted
from node.adapters.chain.endpoint import EndpointDown, RpcError, _result_of, endpoints_of
from node.adapters.chain.evm import _int, _item, _member, _receipt_of, compact
from node.adapters.chain.logs import LogReader, block_of, may_contain, unhex
from node.core.errors import BadConfig, Broken, ChainUnavailable
from node.core.hashing import keccak
from node.core.merkle import Peaks
from node.core.messages import Claim
from node.core.settlement import SignedClaim
from node.core.types import ZERO32, Address, Amount, Micros, Signature
from tests.factories import PAYEE, PAYER, make_voucher

ESCROW = Interface.of(load_artifact("Escrow"))
OURS = Address(b"\xee" * 20)


# --------------------------------------------------------------------------------------------------------- endpoint
@pytest.mark.parametrize("answer", [None, [], "x", {}, {"id": 1}])
def test_result_of__not_json_rpc__is_an_endpoint_down(answer: object) -> None:
    with pytest.raises(EndpointDown):
        _result_of(answer)


def error(**members: object) -> RpcError:
    with pytest.raises(RpcError) as caught:
        _result_of({"error": members})
    return caught.value


def test_result_of__revert_in_each_dialect__is_recognised() -> None:
    assert error(code=3, message="execution reverted", data="0x01020304").data == b"\x01\x02\x03\x04"
    assert error(code=-32000, message="x", data={"data": "0x0a"}).data == b"\x0a"
    assert error(code=-32015, message="VM execution error: reverted").is_revert
    assert not error(code=-32005, message="limit exceeded").is_revert
    assert error(code="odd", message="m", data="0xzz").data == b""
    with pytest.raises(RpcError, match="plain words"):
        _result_of({"error": "plain words"})


def test_endpoint_name__url_with_a_key__does_not_show_it() -> None:
    (endpoint,) = endpoints_of(["https://user:pass@rpc.example:8443/v3/SECRET?key=SECRET"], 1.0)
    assert endpoint.name == "https://rpc.example:8443"


def test_mark_down__again_and_again__rests_longer_up_to_a_minute() -> None:
    (endpoint,) = endpoints_of(["http://x"], 1.0)
    pauses = []
    for _ in range(9):
        endpoint.mark_down("why", 0.0)
        pauses.append(endpoint.health.down_until)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    endpoint.mark_up()
    assert (endpoint.health.down_until, endpoint.health.reason) == (0, "")


# --------------------------------------------------------------------------------------------------------------- abi
def test_reverted__custom_error__carries_its_name_and_values() -> None:
    table = error_table([ESCROW])
    selector = keccak(b"Escrow_Overdraw(uint256,uint256)")[:4]
    refusal = reverted(table, selector + (7).to_bytes(32, "big") + (5).to_bytes(32, "big"), "execution reverted")
    assert refusal.facts == {"asked": 7, "available": 5, "error": "Escrow_Overdraw"}
    assert "Escrow_Overdraw(asked=7, available=5)" in refusal.message


def test_reverted__require_with_words__shows_the_words() -> None:
    words = (32).to_bytes(32, "big") + (2).to_bytes(32, "big") + b"no".ljust(32, b"\x00")
    assert reverted(error_table([]), keccak(b"Error(string)")[:4] + words, "x").facts["reason"] == "no"


def test_reverted__unknown_selector__keeps_the_endpoints_words() -> None:
    refusal = reverted(error_table([ESCROW]), b"\xde\xad\xbe\xef", "execution reverted")
    assert refusal.facts["selector"] == "0xdeadbeef"
    assert "execution reverted" in refusal.message


def test_encode_call__arguments_that_do_not_fit__are_our_bug() -> None:
    for arguments in ((), (b"\x01",), (-1,), (2**128,)):
        with pytest.raises(Broken, match="do not fit"):
            ESCROW.encode_call("deposit", *arguments)
    with pytest.raises(Broken, match="do not fit"):
        ESCROW.encode_call("claim", [{"payer": PAYER}])


def test_decode_result__answer_of_another_contract__is_refused() -> None:
    with pytest.raises(Broken, match="does not fit the ABI"):
        ESCROW.decode_result("pairs", b"\x01")


def test_claim_call__a_row__goes_there_and_back_by_name() -> None:
    claim = Claim(PAYER, PAYEE, PAYER, 3, Micros(9), Amount(70), ZERO32, 2)
    low, high = Signature(b"\x01" * 64 + b"\x1b"), Signature(b"\x02" * 64 + b"\x1c")
    row = SignedClaim(claim, low, make_voucher(ceiling=Amount(80), generation=3), high, Peaks())
    data = ESCROW.encode_call("claim", [_item(row)])
    from eth_abi.abi import decode

    from node.adapters.chain.abi import _shaped, type_of

    inputs = ESCROW.functions["claim"]["inputs"]
    values = decode([type_of(part) for part in inputs], data[4:])
    (item,) = _shaped(inputs[0], values[0])
    assert (item["payer"], item["seq"], item["cumulative"], item["ceiling"], item["count"]) == (PAYER, 9, 70, 80, 2)
    assert item["claimSig"] == {"r": b"\x01" * 32, "vs": b"\x01" * 32}
    assert item["voucherSig"] == {"r": b"\x02" * 32, "vs": b"\x82" + b"\x02" * 31}


def test_compact__v_28__sets_the_top_bit() -> None:
    assert compact(Signature(bytes(64) + b"\x1c"))["vs"][0] == 0x80


# -------------------------------------------------------------------------------------------------------------- logs
def raw_log(**changes: object) -> dict[str, Any]:
    topic = next(topic for topic, entry in ESCROW.events.items() if entry["name"] == "Deposited")
    log = {
        "address": "0x" + OURS.hex(),
        "topics": ["0x" + topic.hex(), "0x" + PAYER.rjust(32, b"\x00").hex(), "0x" + PAYER.rjust(32, b"\x00").hex()],
        "data": "0x" + (5).to_bytes(32, "big").hex(),
        "blockNumber": "0x7",
        "blockHash": "0x" + "07" * 32,
        "logIndex": "0x1",
        "transactionHash": "0x" + "09" * 32,
    }
    return {**log, **changes}


READER = LogReader({OURS: ("escrow", ESCROW)})


def test_events__a_deposit__is_a_fact() -> None:
    (event,) = READER.events([raw_log()])
    assert (event.name, event.place, event.args) == ("Deposited", (7, 1), {"payer": PAYER, "from": PAYER, "amount": 5})


def test_events__look_alike_contract__is_ignored() -> None:
    assert READER.events([raw_log(address="0x" + "66" * 20)]) == ()


def test_events__order_of_the_answer__does_not_matter() -> None:
    logs = [raw_log(logIndex=hex(n)) for n in (3, 1, 2)]
    assert [event.log_index for event in READER.events(logs)] == [1, 2, 3]


def test_events__one_log_twice_or_unknown__is_refused() -> None:
    with pytest.raises(Broken, match="twice"):
        READER.events([raw_log(), raw_log()])
    with pytest.raises(Broken, match="ABI lacks"):
        READER.events([raw_log(topics=["0x" + "11" * 32])])


@pytest.mark.parametrize("changes", [{"removed": True}, {"logIndex": "x"}, {"blockHash": 5}, {"data": None}])
def test_events__malformed__raises_what_reading_translates(changes: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        READER.events([raw_log(**changes)])


def test_may_contain__bloom_with_our_bits__is_not_ruled_out() -> None:
    digest, bloom = keccak(OURS), 0
    for at in (0, 2, 4):
        bloom |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    assert may_contain(bloom.to_bytes(256, "big"), OURS)
    assert READER.is_ruled_out(bytes(256))
    assert not READER.is_ruled_out(bloom.to_bytes(256, "big"))
    assert may_contain(b"", OURS), "no bloom rules nothing out"


def test_block_of__header__is_a_block_or_an_error() -> None:
    header = {"number": "0x1", "hash": "0x" + "01" * 32, "parentHash": "0x" + "00" * 32, "timestamp": "0x5"}
    assert (block_of(header).number, block_of(header).timestamp) == (1, 5)
    with pytest.raises(KeyError):
        block_of({})
    with pytest.raises(ValueError, match="0x-hex"):
        unhex(None)


# ---------------------------------------------------------------------------------------------------------- answers
def test_answers__of_the_wrong_kind__are_an_unavailable_chain() -> None:
    for call in (lambda: _int("zz"), lambda: _int(None), lambda: _receipt_of({}), lambda: _member(None, "x")):
        with pytest.raises(ChainUnavailable):
            call()


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://x:0", "http://[::1"])
def test_endpoints_of__not_an_rpc_url__is_refused(url: str) -> None:
    with pytest.raises(BadConfig):
        endpoints_of([url], 1.0)
