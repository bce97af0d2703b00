"""Keys: which may be used, which signatures verify."""

from __future__ import annotations

import hashlib
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import ConfigError, FormatError
from zhixin_ledger import keys
from zhixin_ledger.encoding import b64
from zhixin_ledger.signers import MemorySigner

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
C2SP_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


# A plain reference of RFC 8032's curve, affine and slow, to judge the library's check by.


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    product = D * a[0] * b[0] * a[1] * b[1] % P
    return (
        (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P) % P,
        (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P,
    )


def times(scalar: int, point: tuple[int, int]) -> tuple[int, int]:
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point: tuple[int, int]) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> tuple[int, int]:
    number = int.from_bytes(data, "little")
    y, sign = number % 2**255 % P, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0
    return (P - x if x & 1 != sign else x, y)


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % L


def reference_verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """S < L and encode(SB − kA) = R, without cofactor."""
    s = int.from_bytes(signature[32:], "little")
    k = challenge(signature[:32], public_key, message)
    x, y = decode(public_key)
    return s < L and encode(add(times(s, BASE), times(k, (P - x, y)))) == signature[:32]


def torsion_point() -> tuple[int, int]:
    """A point of order 8: L times a point that is not in the prime subgroup."""
    for y in range(2, 100):
        try:
            point = times(L, decode(y.to_bytes(32, "little")))
        except AssertionError:
            continue
        if times(4, point) != (0, 1):
            return point
    raise AssertionError


TORSION = [times(number, torsion_point()) for number in range(8)]


def mixed_order_case(torsion_of_key: int, torsion_of_r: int, number: int) -> tuple[bytes, ...]:
    """A signature that holds with cofactor: key and R carry points of low order."""
    a, r = 12345 + number, 67890 + number
    public_key = encode(add(times(a, BASE), TORSION[torsion_of_key]))
    point = encode(add(times(r, BASE), TORSION[torsion_of_r]))
    message = b"message %d" % number
    s = (r + challenge(point, public_key, message) * a) % L
    return public_key, message, point + s.to_bytes(32, "little")


def test_the_library_checks_without_cofactor_for_mixed_order_inputs():
    verdicts = set()
    for number in range(24):
        for torsion_of_key, torsion_of_r in ((1, 0), (0, 1), (1, number % 8), (4, 4), (2, 6)):
            case = mixed_order_case(torsion_of_key, torsion_of_r, number)
            wanted = reference_verifies(*case)
            assert keys.verify_ed25519(*case) == wanted
            verdicts.add((torsion_of_key, wanted))
    # Both verdicts came up for keys of mixed order, so the comparison says something.
    assert {(1, True), (1, False), (4, True), (4, False)} <= verdicts


def test_r_of_low_order_verifies_in_its_canonical_encoding_only():
    a = 4321
    public_key = encode(times(a, BASE))
    for point, wanted in ((encode((0, 1)), True), ((P + 1).to_bytes(32, "little"), False)):
        s = challenge(point, public_key, b"m") * a % L
        assert keys.verify_ed25519(public_key, b"m", point + s.to_bytes(32, "little")) is wanted


def test_refuses_every_point_of_low_order_in_every_encoding():
    encodings = {encode(point) for point in TORSION}
    assert len(encodings) == 8
    for data in encodings:
        with pytest.raises(FormatError, match="of low order"):
            keys.check_public_key(data)
        signature = encode((0, 1)) + bytes(32)
        assert not keys.verify_ed25519(data, b"anything", signature)


def test_refuses_encodings_that_are_not_canonical():
    for y in range(P, 2**255):
        for sign in (0, 1):
            with pytest.raises(FormatError, match="not the canonical encoding of a point"):
                keys.check_public_key((y | sign << 255).to_bytes(32, "little"))
    for y in (1, P - 1):  # x is 0, whose sign is never 1
        with pytest.raises(FormatError, match="no point of the curve"):
            keys.check_public_key((y | 1 << 255).to_bytes(32, "little"))


def test_refuses_what_is_no_point():
    with pytest.raises(FormatError, match="no point of the curve"):
        keys.check_public_key((2).to_bytes(32, "little"))
    with pytest.raises(FormatError, match="has 31 bytes, want 32"):
        keys.check_public_key(bytes(31))


def test_takes_keys_of_mixed_order():
    for point in TORSION:
        data = encode(add(times(99, BASE), point))
        assert keys.check_public_key(data) == data


@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_is_made_may_be_used(seed):
    signer = MemorySigner(seed)
    assert keys.check_public_key(signer.public_key) == signer.public_key
    assert keys.parse_public_key(b64(signer.public_key)) == signer.public_key
    assert keys.verify_ed25519(signer.public_key, seed, signer.sign(seed))


@given(st.binary(min_size=32, max_size=32))
def test_raises_nothing_but_its_own_error_for_any_key(data):
    try:
        keys.check_public_key(data)
    except FormatError:
        assert not keys.verify_ed25519(data, b"", bytes(64))
    else:
        assert encode(decode(data)) == data


def test_refuses_signatures_with_s_of_l_or_more():
    signer = MemorySigner(bytes(32))
    signature = signer.sign(b"message")
    s = int.from_bytes(signature[32:], "little") + L
    assert keys.verify_ed25519(signer.public_key, b"message", signature)
    high = signature[:32] + s.to_bytes(32, "little")
    assert not keys.verify_ed25519(signer.public_key, b"message", high)


def test_refuses_signatures_of_another_length_message_or_key():
    signer, other = MemorySigner(bytes(32)), MemorySigner(b"\1" * 32)
    signature = signer.sign(b"message")
    assert not keys.verify_ed25519(signer.public_key, b"message", signature[:-1])
    assert not keys.verify_ed25519(signer.public_key, b"message", signature + b"\0")
    assert not keys.verify_ed25519(signer.public_key, b"other", signature)
    assert not keys.verify_ed25519(other.public_key, b"message", signature)


def test_gives_the_first_vector_of_rfc_8032():
    signer = MemorySigner(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert signer.public_key.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert signer.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_verifies_ml_dsa_44_with_an_empty_context():
    private = MLDSA44PrivateKey.generate()
    public_key = private.public_key().public_bytes_raw()
    signature = private.sign(b"message")
    assert keys.verify_mldsa44(public_key, b"message", signature)
    assert not keys.verify_mldsa44(public_key, b"other", signature)
    assert not keys.verify_mldsa44(public_key, b"message", private.sign(b"message", b"context"))
    assert not keys.verify_mldsa44(public_key, b"message", signature[:-1])
    assert not keys.verify_mldsa44(public_key[:-1], b"message", signature)


def test_says_so_where_the_machine_has_no_ml_dsa(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mldsa", None)
    with pytest.raises(ConfigError, match="can't verify ML-DSA-44"):
        keys.verify_mldsa44(bytes(1312), b"", bytes(2420))


@pytest.mark.parametrize("vkey", [GO_VKEY, C2SP_VKEY])
def test_reads_the_verifier_keys_of_the_specification(vkey):
    key = keys.VerifierKey.parse(vkey)
    assert key.text == vkey
    assert key.kind == keys.ED25519


def test_one_public_key_has_another_id_under_another_type():
    public_key = keys.VerifierKey.parse(GO_VKEY).public_key
    ids = {
        keys.VerifierKey.make("a.example/x", kind, public_key).key_id
        for kind in (keys.ED25519, keys.COSIGNATURE_V1)
    }
    assert len(ids) == 2


@given(
    st.sampled_from(["a", "ledger.gov.example/2026", "é", "😀/witness", "a" * 255]),
    st.sampled_from([keys.ED25519, keys.COSIGNATURE_V1, keys.MLDSA44]),
    st.binary(min_size=32, max_size=32),
)
def test_verifier_keys_round_trip(name, kind, seed):
    ml_dsa = kind == keys.MLDSA44
    public_key = seed * 41 if ml_dsa else MemorySigner(seed).public_key
    key = keys.VerifierKey.make(name, kind, public_key)
    assert keys.VerifierKey.parse(key.text) == key


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a3+",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumanN+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq_LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10Q=",
        "PeterNeumann+c74f20a3+QQ==",
        None,
    ],
)
def test_refuses_mangled_verifier_keys(vkey):
    with pytest.raises(FormatError):
        keys.VerifierKey.parse(vkey)


@given(st.text(max_size=20) | st.text("a+0c74f2AQ=/\n", max_size=60))
def test_raises_nothing_but_its_own_error_for_any_verifier_key(text):
    try:
        key = keys.VerifierKey.parse(text)
    except FormatError:
        return
    assert key.text == text


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x7f", "a" * 256, "\ud800"]
)
def test_refuses_names_that_no_key_has(name):
    with pytest.raises(FormatError, match="key name"):
        keys.check_key_name(name)


@pytest.mark.parametrize("kind", [0, 2, 3, 5, 7, 255])
def test_refuses_types_that_are_not_supported(kind):
    with pytest.raises(FormatError, match="type that is not supported"):
        keys.VerifierKey.make("a.example", kind, bytes(32))


def test_refuses_verifier_keys_whose_point_may_not_be_used():
    with pytest.raises(FormatError, match=r"verifier key of a\.example is a point of low order"):
        keys.VerifierKey.make("a.example", keys.COSIGNATURE_V1, encode((0, 1)))
