"""Ed25519 keys: who signed a record. The private half stays with the driver; no stage, pod or record ever holds it.

The flow signs with `$WORLDMODEL_SIGNING_KEY`, else with `signing.pem` in the user's configuration folder, which the
first run makes, as a host makes its own key. A key is known by its id: sha256 (hex) of its public half as DER.
"""

import errno
import getpass
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from worldmodel.data.atomic import aside_of, atomic_file
from worldmodel.errors import SigningError

KEY_VARIABLE, PASSPHRASE_VARIABLE, ACTOR_VARIABLE = (
    "WORLDMODEL_SIGNING_KEY",
    "WORLDMODEL_KEY_PASSPHRASE",
    "WORLDMODEL_ACTOR",
)
SECRET_VARIABLES = (KEY_VARIABLE, PASSPHRASE_VARIABLE)
_KEYGEN = "worldmodel audit keygen"


@dataclass(frozen=True)
class PublicKey:
    """The half that verifies; `pem` is its SubjectPublicKeyInfo."""

    keyid: str
    pem: str

    def verify(self, signature: bytes, message: bytes) -> None:
        """Raises SigningError unless `signature` is this key's over `message`."""
        key = load_pem_public_key(self.pem.encode())
        assert isinstance(key, Ed25519PublicKey)
        try:
            key.verify(signature, message)
        except InvalidSignature:
            raise SigningError(f"the signature is not that of key {self.keyid[:16]} over these bytes") from None


@dataclass(frozen=True)
class SigningKey:
    """Both halves; the private one is left out of its repr."""

    public: PublicKey
    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.keyid[:16]})"

    @property
    def keyid(self) -> str:
        """The id of the public half."""
        return self.public.keyid

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        return self._private.sign(message)


def actor() -> str:
    """Who acts, in the ledger's words: `$WORLDMODEL_ACTOR`, else the name of the user."""
    return os.environ.get(ACTOR_VARIABLE) or getpass.getuser()


def signing_key_path() -> Path:
    """Where the key that signs is, or would be made."""
    if given := os.environ.get(KEY_VARIABLE):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "worldmodel" / "keys" / "signing.pem"


def signing_key() -> SigningKey:
    """The key that signs; made where none was named and none is there.

    Raises:
        SigningError: a key was named that is not there, or cannot be read.
    """
    path = signing_key_path()
    if os.environ.get(KEY_VARIABLE) or path.exists():
        return load_key(path)
    try:
        return make_key(path)
    except FileExistsError:  # another run made it meanwhile
        return load_key(path)


def make_key(path: Path) -> SigningKey:
    """Makes a key: the private half at `path`, for the user alone to read, the public half at `path` + `.pub`.

    The private half is encrypted when `$WORLDMODEL_KEY_PASSPHRASE` is set.

    Raises:
        FileExistsError: there is one of the two files already; neither is ever replaced.
    """
    public = public_path(path)
    if public.exists():
        raise FileExistsError(errno.EEXIST, "the public half of a key is there already", str(public))
    private = Ed25519PrivateKey.generate()
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase.encode())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = aside_of(path)
    aside.unlink(missing_ok=True)  # of a process that was killed
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    key = SigningKey(_public(private.public_key()), private)
    try:
        os.link(aside, path)  # unlike a rename, never replaces a key
    finally:
        aside.unlink()
    _write_public(path, key.public)
    return key


def load_key(path: Path) -> SigningKey:
    """The private key in a PEM file. Its public half is put beside it where it is missing.

    Raises:
        SigningError: it is not there, others may read it, it is not an Ed25519 key, or the passphrase is wrong or
            missing.
    """
    passphrase = os.environ.get(PASSPHRASE_VARIABLE)
    try:
        content = path.read_bytes()
        private = load_pem_private_key(content, passphrase.encode() if passphrase else None)
    except FileNotFoundError:
        raise SigningError(
            f"{path}: no signing key there",
            expected=f"an Ed25519 key as PEM, named by {KEY_VARIABLE}",
            fix=f"{_KEYGEN} --out {path}; or unset {KEY_VARIABLE} to use the key of this user",
        ) from None
    except (TypeError, ValueError, OSError) as error:
        fix = f"set {PASSPHRASE_VARIABLE} if the key has a passphrase, and unset it if it has none"
        raise SigningError(f"{path}: not a key that can be read", got=str(error)[:200], fix=fix) from None
    if not isinstance(private, Ed25519PrivateKey):
        what = f"{path}: another kind of key"
        raise SigningError(what, expected="Ed25519", got=type(private).__name__, fix=f"{_KEYGEN} --out FILE")
    if b"ENCRYPTED" not in content:
        _require_private(path)
    key = SigningKey(_public(private.public_key()), private)
    if not public_path(path).exists() and os.access(path.parent, os.W_OK):  # its maker was killed half-way
        _write_public(path, key.public)
    return key


def public_path(path: Path) -> Path:
    """Where the public half of the key in a file is."""
    return path.with_name(f"{path.name}.pub")


def _write_public(path: Path, key: PublicKey) -> None:
    with atomic_file(public_path(path)) as stream:
        stream.write(key.pem.encode())


def _require_private(path: Path) -> None:
    """Refuses a key that others than its owner, and a group that may read it, can get at.

    Raises:
        SigningError: with the mode that it has.
    """
    mode = path.stat().st_mode & 0o777
    if mode & 0o027:
        raise SigningError(
            f"{path}: everybody on this machine who can read it could sign as you",
            expected="mode 600, or 640 for a group of its own",
            got=f"mode {mode:o}",
            fix=f"chmod 600 {path}; if others were here meanwhile: worldmodel audit revoke, and another key",
        )


def public_key(pem: str, where: str) -> PublicKey:
    """The public key in a PEM text; `where` names the text in the error.

    Raises:
        SigningError: it is no Ed25519 public key.
    """
    try:
        found = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise SigningError(f"{where}: not a public key", expected="PEM", got=str(error)[:200]) from None
    if not isinstance(found, Ed25519PublicKey):
        raise SigningError(f"{where}: another kind of key", expected="Ed25519", got=type(found).__name__)
    return _public(found)


def read_public(path: Path) -> PublicKey:
    """The public key in a file.

    Raises:
        SigningError: there is none.
    """
    try:
        return public_key(path.read_text(), str(path))
    except OSError as error:
        raise SigningError(f"{path}: cannot be read", got=error.strerror or "", fix="name a .pub file") from None


def _public(key: Ed25519PublicKey) -> PublicKey:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return PublicKey(hashlib.sha256(der).hexdigest(), pem)
