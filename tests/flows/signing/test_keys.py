"""Keys: made once, for their owner alone to read, and refused when they are not what they should be."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from flows.signing.keys import actor, load_key, make_key, public_key, read_public, signing_key, signing_key_path
from worldmodel.errors import SigningError

PEM = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC_PEM = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
# RFC 8032, section 7.1, test 1, as a SubjectPublicKeyInfo
RFC_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
"""
RFC_SIGNATURE = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465514"
    "1438e7a100b"
)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WORLDMODEL_SIGNING_KEY", "WORLDMODEL_KEY_PASSPHRASE", "WORLDMODEL_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_key_is_for_its_owner_alone_and_its_public_half_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "key.pem"
    before = os.umask(0)
    try:
        key = make_key(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["key.pem", "key.pem.pub"]
    assert load_key(path).keyid == key.keyid == read_public(tmp_path / "new" / "folder" / "key.pem.pub").keyid
    assert key.keyid in repr(key).replace(key.keyid[:16], key.keyid) and "private" not in repr(key).lower()


@pytest.mark.parametrize("there", ["key.pem", "key.pem.pub"])
def test_neither_half_of_a_key_is_ever_replaced(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "key.pem")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir() if file.is_file()] == [(there, "precious")]


def test_a_public_half_that_a_kill_left_out_is_made_on_the_next_use(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key, public = make_key(path), tmp_path / "key.pem.pub"
    text = public.read_text()
    public.unlink()
    assert load_key(path).keyid == key.keyid and public.read_text() == text


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660])
def test_a_key_that_others_can_get_at_is_refused_unless_it_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    path = tmp_path / "key.pem"
    key = make_key(path)
    path.chmod(mode)
    with pytest.raises(SigningError, match=rf"key\.pem(.|\n)*mode {mode:o}(.|\n)*chmod 600"):
        load_key(path)
    path.chmod(0o640)
    assert load_key(path).keyid == key.keyid
    monkeypatch.setenv("WORLDMODEL_KEY_PASSPHRASE", "correct horse")
    other = make_key(tmp_path / "other.pem")
    (tmp_path / "other.pem").chmod(mode)
    assert load_key(tmp_path / "other.pem").keyid == other.keyid


def test_the_first_use_makes_this_users_key_and_later_ones_find_it(tmp_path: Path) -> None:
    assert signing_key_path() == tmp_path / "config" / "worldmodel" / "keys" / "signing.pem"
    with ThreadPoolExecutor(4) as pool:
        found = {key.keyid for key in pool.map(lambda _: signing_key(), range(4))}
    assert found == {load_key(signing_key_path()).keyid}


def test_a_key_that_was_named_is_used_and_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDMODEL_SIGNING_KEY", str(tmp_path / "named.pem"))
    with pytest.raises(SigningError, match=r"named\.pem: no signing key there(.|\n)*keygen --out .*named\.pem"):
        signing_key()
    assert not (tmp_path / "config").exists() and not (tmp_path / "named.pem").exists()
    key = make_key(tmp_path / "named.pem")
    assert signing_key().keyid == key.keyid


def test_a_passphrase_encrypts_the_key_and_has_to_be_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.pem"
    monkeypatch.setenv("WORLDMODEL_KEY_PASSPHRASE", "correct horse")
    key = make_key(path)
    assert "ENCRYPTED" in path.read_text()
    assert load_key(path).keyid == key.keyid
    for wrong in ("battery staple", ""):
        monkeypatch.setenv("WORLDMODEL_KEY_PASSPHRASE", wrong)
        with pytest.raises(SigningError, match=r"key\.pem(.|\n)*WORLDMODEL_KEY_PASSPHRASE") as caught:
            load_key(path)
        assert "correct horse" not in str(caught.value)
    monkeypatch.delenv("WORLDMODEL_KEY_PASSPHRASE")
    plain = make_key(tmp_path / "plain.pem")
    monkeypatch.setenv("WORLDMODEL_KEY_PASSPHRASE", "not needed")
    with pytest.raises(SigningError, match="unset it if it has none"):
        load_key(tmp_path / "plain.pem")
    assert plain.keyid != key.keyid


PRIVATE: dict[str, Callable[[], bytes]] = {
    "EC": lambda: ec.generate_private_key(ec.SECP256R1()).private_bytes(*PEM),
    "Ed448": lambda: ed448.Ed448PrivateKey.generate().private_bytes(*PEM),
    "not a key": lambda: b"hello",
    "not a key that": lambda: RFC_PUBLIC.encode(),
}


@pytest.mark.parametrize("kind", PRIVATE)
def test_other_private_keys_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "key.pem").write_bytes(PRIVATE[kind]())
    with pytest.raises(SigningError, match=rf"key\.pem(.|\n)*{kind}"):
        load_key(tmp_path / "key.pem")


def test_other_public_keys_are_refused_by_name(tmp_path: Path) -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*PUBLIC_PEM).decode()
    with pytest.raises(SigningError, match="here: another kind of key"):
        public_key(curve, "here")
    with pytest.raises(SigningError, match="here: not a public key"):
        public_key("hello", "here")
    make_key(tmp_path / "key.pem")
    with pytest.raises(SigningError, match=r"key\.pem: not a public key"):
        read_public(tmp_path / "key.pem")
    with pytest.raises(SigningError, match=r"gone\.pub: cannot be read"):
        read_public(tmp_path / "gone.pub")


def test_a_published_signature_verifies_and_an_altered_message_does_not() -> None:
    key = public_key(RFC_PUBLIC, "RFC 8032")
    key.verify(bytes.fromhex(RFC_SIGNATURE), b"")
    with pytest.raises(SigningError, match=key.keyid[:16]):
        key.verify(bytes.fromhex(RFC_SIGNATURE), b"x")
    with pytest.raises(SigningError):
        key.verify(b"", b"")


def test_a_keyid_belongs_to_the_key_however_its_pem_is_wrapped() -> None:
    one_line = RFC_PUBLIC.replace("\n", "\r\n")
    assert public_key(one_line, "here") == public_key(RFC_PUBLIC, "there")


def test_who_acts_is_who_says_so_or_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert actor() == "ann"
    monkeypatch.setenv("WORLDMODEL_ACTOR", "release-bot")
    assert actor() == "release-bot"
