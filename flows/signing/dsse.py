"""DSSE envelopes (Dead Simple Signing Envelope, v1): a payload, its type, and signatures over both.

A signature is over `PAE(type, payload)`, so a payload can never be taken for one of another type.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.manifest import canonical_json
from flows.signing.keys import PublicKey, SigningKey
from worldmodel.errors import SigningError

IN_TOTO = "application/vnd.in-toto+json"
Envelope = dict[str, Any]


@dataclass(frozen=True)
class Signed:
    """What an envelope holds, and whose signature over it was verified."""

    payload: dict[str, Any]
    keyid: str


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: the pre-authentication encoding of a payload and its type."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(value: Mapping[str, Any], key: SigningKey, payload_type: str = IN_TOTO) -> Envelope:
    """An envelope around the canonical JSON of `value`."""
    payload = canonical_json(value).encode()
    signature = {
        "keyid": key.keyid,
        "sig": base64.b64encode(key.sign(pae(payload_type, payload))).decode(),
    }
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [signature],
    }


def envelope_bytes(envelope: Envelope) -> bytes:
    """An envelope as it is kept: one canonical line."""
    return (canonical_json(envelope) + "\n").encode()


def unverified(envelope: Envelope, where: str) -> dict[str, Any]:
    """The payload as it stands, nobody's word. `where` names the envelope in errors.

    Raises:
        SigningError: it is no envelope of JSON.
    """
    try:
        value = json.loads(base64.b64decode(envelope["payload"], validate=True))
        signatures = envelope["signatures"]
        if not isinstance(value, dict) or not isinstance(signatures, list):
            raise TypeError("the payload is no object, or there is no list of signatures")
        if not all(isinstance(signature, dict) for signature in signatures):
            raise TypeError("a signature is no object")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SigningError(
            f"{where}: not a DSSE envelope", expected="payloadType, payload, signatures", got=str(error)
        ) from None
    return value


def verify(envelope: Envelope, keys: Mapping[str, PublicKey], where: str, payload_type: str = IN_TOTO) -> Signed:
    """The payload, once the signature of one of `keys` (by id) over it verifies.

    Raises:
        SigningError: no envelope, of another type, signed by none of the keys, or altered since; names `where`.
    """
    payload = unverified(envelope, where)
    if envelope.get("payloadType") != payload_type:
        raise SigningError(f"{where}: another payload", expected=payload_type, got=str(envelope.get("payloadType")))
    signed_by = [str(s.get("keyid", "")) for s in envelope["signatures"]]
    message = pae(payload_type, base64.b64decode(envelope["payload"]))
    for signature in envelope["signatures"]:
        key = keys.get(str(signature.get("keyid", "")))
        if key is None:
            continue
        try:
            key.verify(base64.b64decode(signature["sig"], validate=True), message)
        except (SigningError, KeyError, TypeError, ValueError) as error:
            raise SigningError(
                f"{where}: altered since it was signed, or the signature is forged", got=str(error)
            ) from None
        return Signed(payload, key.keyid)
    raise SigningError(
        f"{where}: signed by no trusted key",
        expected=" or ".join(sorted(keyid[:16] for keyid in keys)) or "a trusted key",
        got=", ".join(keyid[:16] for keyid in signed_by) or "no signature",
        fix="an admin of the ledger can trust a key: worldmodel audit trust",
    )
