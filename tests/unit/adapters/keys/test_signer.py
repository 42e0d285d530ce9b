"""Signing and recovering: one signature has one encoding, and the key shows itself nowhere."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.adapters.keys import LocalSigner, Secret, recover
from node.adapters.keys.signer import ORDER
from node.core.errors import BadConfig, WrongSignature
from node.core.hashing import keccak
from node.core.types import Bytes32, Signature

pytestmark = pytest.mark.unit
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
DIGEST = keccak(b"wwwserve")


def test_local_signer__well_known_key__has_its_well_known_address() -> None:
    assert LocalSigner(Secret(KEY)).address.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"


@given(st.integers(min_value=1, max_value=ORDER - 1), st.binary(min_size=32, max_size=32))
def test_recover__own_signature__gives_the_signers_address(key: int, digest: bytes) -> None:
    signer = LocalSigner(Secret(key.to_bytes(32, "big")))
    assert recover(Bytes32(digest), signer.sign(Bytes32(digest))) == signer.address


def test_sign__same_digest_twice__is_deterministic() -> None:
    signer = LocalSigner(Secret(KEY))
    assert signer.sign(DIGEST) == signer.sign(DIGEST)


def test_recover__high_s_twin__is_refused() -> None:
    raw = LocalSigner(Secret(KEY)).sign(DIGEST)
    high = (ORDER - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    with pytest.raises(WrongSignature, match="lower half"):
        recover(DIGEST, Signature(raw[:32] + high + bytes((55 - raw[64],))))


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 35, 255])
def test_recover__other_v__is_refused(v: int) -> None:
    raw = LocalSigner(Secret(KEY)).sign(DIGEST)
    with pytest.raises(WrongSignature, match="27 or 28"):
        recover(DIGEST, Signature(raw[:64] + bytes((v,))))


@pytest.mark.parametrize("raw", [b"", bytes(64), bytes(66), bytes(64) + b"\x1b", b"\xff" * 32 + bytes(32) + b"\x1b"])
def test_recover__malformed_signature__is_refused(raw: bytes) -> None:
    with pytest.raises(WrongSignature):
        recover(DIGEST, Signature(raw))


@pytest.mark.parametrize("raw", [b"", bytes(32), ORDER.to_bytes(32, "big"), b"\x01" * 31, b"\x01" * 33])
def test_local_signer__not_a_key__is_refused_without_showing_it(raw: bytes) -> None:
    with pytest.raises(BadConfig) as caught:
        LocalSigner(Secret(raw))
    assert not raw or raw.hex() not in repr(caught.value)


def test_sign__digest_of_wrong_length__is_refused() -> None:
    with pytest.raises(BadConfig):
        LocalSigner(Secret(KEY)).sign(Bytes32(b"short"))


def test_secret_and_signer__shown_in_any_way__show_no_key() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {[secret]} {LocalSigner(secret)!r}"
    assert KEY.hex() not in shown
    assert repr(KEY)[2:-1] not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
