"""Envelopes, held against an implementation by others: each verifies what the other signed."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib import dsse as theirs
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from flows.signing.dsse import IN_TOTO, Envelope, envelope_bytes, pae, sign, unverified, verify
from flows.signing.keys import PublicKey, SigningKey, make_key, public_key
from worldmodel.errors import SigningError

VALUE = {"b": [1, 2.5, None], "a": {"name": "Grüße “”", "deep": {"z": True, "y": ""}}}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return make_key(tmp_path_factory.mktemp("keys") / "key.pem")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return make_key(tmp_path_factory.mktemp("keys") / "stranger.pem")


def their_key(key: PublicKey) -> Key:
    raw = load_pem_public_key(key.pem.encode()).public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SSlibKey(key.keyid, "ed25519", "ed25519", {"public": raw.hex()})


def test_the_encoding_is_that_of_the_specification() -> None:
    """The example of the DSSE protocol, v1."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@given(st.text(max_size=20), st.binary(max_size=40))
def test_the_encoding_is_that_of_another_implementation(kind: str, payload: bytes) -> None:
    assert pae(kind, payload) == theirs.Envelope(payload, kind, {}).pae()


def test_others_accept_our_envelope_and_refuse_it_altered_or_by_another_key(
    key: SigningKey, stranger: SigningKey
) -> None:
    envelope = sign(VALUE, key)
    parsed = theirs.Envelope.from_dict(json.loads(envelope_bytes(envelope)))
    assert list(parsed.verify([their_key(key.public)], 1)) == [key.keyid]
    assert json.loads(parsed.payload) == VALUE and parsed.payload_type == IN_TOTO
    with pytest.raises(VerificationError):
        parsed.verify([their_key(stranger.public)], 1)
    parsed.payload = parsed.payload.replace(b"2.5", b"2.6")
    with pytest.raises(VerificationError):
        parsed.verify([their_key(key.public)], 1)


def test_we_accept_the_envelope_of_others() -> None:
    signer = CryptoSigner.generate_ed25519()
    raw = bytes.fromhex(signer.public_key.keyval["public"])
    der = bytes.fromhex("302a300506032b6570032100") + raw  # RFC 8410: SubjectPublicKeyInfo of Ed25519
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----\n"
    envelope = theirs.Envelope(json.dumps(VALUE).encode(), IN_TOTO, {})
    envelope.sign(signer)
    found = verify(envelope.to_dict(), {signer.public_key.keyid: public_key(pem, "theirs")}, "here")
    assert found.payload == VALUE


def test_the_same_value_gives_the_same_bytes(key: SigningKey) -> None:
    turned = dict(reversed(VALUE.items()))
    assert envelope_bytes(sign(VALUE, key)) == envelope_bytes(sign(turned, key))
    assert envelope_bytes(sign(VALUE, key)).count(b"\n") == 1


def test_what_was_signed_is_told_with_who_signed_it(key: SigningKey, stranger: SigningKey) -> None:
    found = verify(sign(VALUE, key), {k.keyid: k.public for k in (key, stranger)}, "here")
    assert (found.payload, found.keyid) == (VALUE, key.keyid)


def test_a_signature_by_a_trusted_key_counts_beside_one_by_a_stranger(key: SigningKey, stranger: SigningKey) -> None:
    envelope = sign(VALUE, stranger)
    envelope["signatures"] += sign(VALUE, key)["signatures"]
    assert verify(envelope, {key.keyid: key.public}, "here").keyid == key.keyid


def test_a_stranger_cannot_use_the_id_of_a_trusted_key(key: SigningKey, stranger: SigningKey) -> None:
    envelope = sign(VALUE, stranger)
    envelope["signatures"][0]["keyid"] = key.keyid
    with pytest.raises(SigningError, match="here: altered since it was signed, or the signature is forged"):
        verify(envelope, {key.keyid: key.public}, "here")


def test_a_signature_over_one_type_does_not_serve_for_another(key: SigningKey) -> None:
    envelope = sign(VALUE, key, "application/other")
    with pytest.raises(SigningError, match="here: another payload"):
        verify(envelope, {key.keyid: key.public}, "here")
    envelope["payloadType"] = IN_TOTO
    with pytest.raises(SigningError, match="here: altered"):
        verify(envelope, {key.keyid: key.public}, "here")


def test_a_key_that_is_not_trusted_is_named_with_the_way_out(key: SigningKey, stranger: SigningKey) -> None:
    with pytest.raises(SigningError, match="audit trust") as caught:
        verify(sign(VALUE, stranger), {key.keyid: key.public}, "here")
    assert (caught.value.expected, caught.value.got) == (key.keyid[:16], stranger.keyid[:16])
    with pytest.raises(SigningError, match="no signature"):
        verify({**sign(VALUE, key), "signatures": []}, {key.keyid: key.public}, "here")


@given(st.data())
def test_no_byte_of_payload_or_signature_can_be_changed(key: SigningKey, data: st.DataObject) -> None:
    envelope = sign(VALUE, key)
    part = data.draw(st.sampled_from(["payload", "sig"]))
    holder = envelope if part == "payload" else envelope["signatures"][0]
    content = bytearray(base64.b64decode(holder[part]))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    holder[part] = base64.b64encode(bytes(content)).decode()
    with pytest.raises(SigningError, match="here"):
        verify(envelope, {key.keyid: key.public}, "here")


BROKEN: list[dict[str, Any]] = [
    {"payload": "%%%"},
    {"payload": base64.b64encode(b"[1]").decode()},
    {"payload": base64.b64encode(b"\xff").decode()},
    {"payload": None},
    {"payload": base64.b64encode(b'{"a":' + b"[" * 100_000).decode()},
    {"signatures": "none"},
    {"signatures": [{}]},
    {"signatures": [{"keyid": "KEY", "sig": "%%%"}]},
    {"signatures": [{"keyid": "KEY"}]},
    {"signatures": [{"keyid": "KEY", "sig": 7}]},
    {"signatures": ["text"]},
    {"signatures": [{"keyid": ["KEY"], "sig": ""}]},
]


@pytest.mark.parametrize("part", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_envelope_is_refused_and_named(key: SigningKey, part: Envelope) -> None:
    envelope = {**sign(VALUE, key), **copy.deepcopy(part)}
    if isinstance(envelope["signatures"], list):
        for signature in envelope["signatures"]:
            if isinstance(signature, dict) and signature.get("keyid") == "KEY":
                signature["keyid"] = key.keyid
    with pytest.raises(SigningError, match="here: "):
        verify(envelope, {key.keyid: key.public}, "here")


@pytest.mark.parametrize("missing", ["payload", "payloadType", "signatures"])
def test_a_missing_part_is_refused(key: SigningKey, missing: str) -> None:
    envelope = sign(VALUE, key)
    del envelope[missing]
    with pytest.raises(SigningError, match="here: "):
        verify(envelope, {key.keyid: key.public}, "here")


def test_a_payload_can_be_looked_at_before_anybody_vouches_for_it(key: SigningKey) -> None:
    envelope = sign(VALUE, key)
    envelope["signatures"] = []
    assert unverified(envelope, "here") == VALUE


def test_the_files_of_a_key_verify_an_envelope_after_a_round_trip(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key.pem")
    (tmp_path / "envelope.json").write_bytes(envelope_bytes(sign(VALUE, key)))
    public = public_key((tmp_path / "key.pem.pub").read_text(), "file")
    loaded = json.loads((tmp_path / "envelope.json").read_text())
    assert verify(loaded, {public.keyid: public}, "here").payload == VALUE
