import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.audit.pack.archive import write_archive
from flows.audit.pack.check import verify_pack
from flows.audit.pack.seal import MANIFEST_NAME, SEAL_NAME, PackFacts, check_files, read_seal, seal
from flows.ledger.store import Ledger, ledger_url
from flows.lineage.records import Records
from flows.signing.keys import make_key
from tests.flows.audit.pack.conftest import REASON, Packed, exported_pack
from worldmodel.errors import RecordError, SigningError

ROOT = Path(__file__).parents[4]
TOOLS = ("sha256sum", "jq", "openssl", "base64")
with_tools = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")


def copied(packed: Packed, to: Path) -> Path:
    return Path(shutil.copytree(packed.folder, to / packed.folder.name))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def resealed(folder: Path, packed: Packed, out: Path) -> Path:
    """The folder as a pack that its exporter might have made: sealed anew with the same key."""
    files: dict[str, bytes | Path] = {
        name: folder / name for name in names(folder) if name not in (MANIFEST_NAME, SEAL_NAME)
    }
    seal_payload = json.loads((packed.folder / SEAL_NAME).read_text())["payload"]
    facts = PackFacts.model_validate(json.loads(base64.b64decode(seal_payload))["predicate"])
    write_archive(out, folder.name, files | seal(files, facts, packed.history.key))
    return out


def test_a_pack_holds_and_so_does_its_folder(packed: Packed) -> None:
    for path in (packed.path, packed.folder):
        verdict = verify_pack(path, packed.roots)
        assert verdict.findings == []
        checked = {one.what: one.count for one in verdict.checked}
        assert checked["files of the pack"] == packed.exported.files
        assert min(checked[what] for what in ("code of the runs", "records", "statements of runs", "signed heads")) > 0


def test_the_same_ledger_gives_the_same_bytes(packed: Packed, tmp_path: Path) -> None:
    again = exported_pack(packed.history, packed.exported.version, tmp_path / "again.tar.gz")
    assert Path(again.path).read_bytes() == packed.path.read_bytes()


def test_it_verifies_on_a_bare_machine(packed: Packed, tmp_path: Path) -> None:
    """No checkout, no state, no home, no git or other program on the path, no server packages."""
    code = (
        "import sys; from pathlib import Path; from flows.audit.pack.check import verify_pack;"
        "from flows.signing.keys import read_public;"
        "print(verify_pack(Path(sys.argv[1]), (read_public(Path(sys.argv[2])).keyid,)).findings,"
        "sorted({'mlflow', 'prefect', 'torch', 'dvc'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, packed.path, packed.history.public]
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[] []\n", "")


def test_every_file_that_was_changed_is_named(packed: Packed, tmp_path: Path) -> None:
    folder, keys = copied(packed, tmp_path), {packed.history.key.keyid: packed.history.key.public}
    for name in names(folder):
        path, content = folder / name, (folder / name).read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
        found = {(one.what, one.where) for one in (*check_files(folder), *read_seal(folder, keys)[1])}
        wanted = {MANIFEST_NAME: ("pack/seal", SEAL_NAME), SEAL_NAME: ("pack/seal", SEAL_NAME)}
        assert wanted.get(name, ("pack/changed", name)) in found, name
        path.write_bytes(content)
    assert verify_pack(folder, packed.roots).findings == []


def test_what_was_added_or_removed_is_named(packed: Packed, tmp_path: Path) -> None:
    folder = copied(packed, tmp_path)
    (folder / "cards" / "more.txt").write_text("more")
    (folder / "aside").symlink_to("MANIFEST")
    (folder / "ledger.ndjson").unlink()
    found = {(one.what, one.where) for one in check_files(folder)}
    assert found == {("pack/added", "cards/more.txt"), ("pack/added", "aside"), ("pack/removed", "ledger.ndjson")}


def test_a_changed_file_is_named_in_an_archive_packed_anew(packed: Packed, tmp_path: Path) -> None:
    folder = copied(packed, tmp_path)
    (folder / "cards" / "model-card.md").write_text("All is well.")
    subprocess.run(["tar", "--format=ustar", "-czf", tmp_path / "anew.tar.gz", "-C", tmp_path, folder.name], check=True)
    found = {(one.what, one.where) for one in verify_pack(tmp_path / "anew.tar.gz", packed.roots).findings}
    assert ("pack/changed", "cards/model-card.md") in found
    assert any(what == "pack/repacked" for what, _ in found)


def test_a_seal_of_somebody_else_does_not_hold(packed: Packed, tmp_path: Path) -> None:
    folder = copied(packed, tmp_path)
    (folder / "cards" / "model-card.md").write_text("All is well.")
    files: dict[str, bytes | Path] = {n: folder / n for n in names(folder) if n not in (MANIFEST_NAME, SEAL_NAME)}
    facts = PackFacts(
        name="toy",
        version="3",
        model_sha256="0" * 64,
        run_id="r",
        runs=(),
        ledger="l",
        sequence=1,
        hash="0" * 64,
        time="t",
    )
    for name, content in seal(files, facts, make_key(tmp_path / "other.pem")).items():
        (folder / name).write_bytes(content)
    assert verify_pack(folder, packed.roots).findings[0].what == "pack/seal"


def test_another_root_key_is_not_enough(packed: Packed, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.pem")
    findings = verify_pack(packed.path, (other.keyid,)).findings
    assert any(one.where.startswith("ledger entry 1") and other.keyid[:16] in one.sentence for one in findings)


def test_even_the_exporter_cannot_seal_another_copy_code_or_record(packed: Packed, tmp_path: Path) -> None:
    """With a seal that holds, what the runs' statements say still stands against it."""
    folder = copied(packed, tmp_path)
    run = f"runs/{packed.history.runs[2].run_id}"
    (folder / run / "params.yaml").write_text("seed: 8\n")
    tree = folder / "code" / packed.history.runs[2].run_id / "tree.txt"
    tree.write_text(tree.read_text().replace("dvc.yaml", "dvc.yam"))
    card = folder / "records" / "blobs"
    blob = max(card.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    blob.write_bytes(blob.read_bytes() + b" ")
    found = {one.what for one in verify_pack(resealed(folder, packed, tmp_path / "x.tar.gz"), packed.roots).findings}
    assert {"pack/copy", "code/tree", "record/altered"} <= found
    assert not found & {"pack/changed", "pack/seal", "pack/repacked"}


def test_a_shortened_ledger_is_found_under_a_seal_that_holds(packed: Packed, tmp_path: Path) -> None:
    folder = copied(packed, tmp_path)
    lines = (folder / "ledger.ndjson").read_text().splitlines(keepends=True)
    (folder / "ledger.ndjson").write_text("".join(lines[:-1]))
    found = verify_pack(resealed(folder, packed, tmp_path / "x.tar.gz"), packed.roots).findings
    assert "ledger/truncated" in {one.what for one in found}


@with_tools
def test_standard_tools_check_the_files(packed: Packed) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", MANIFEST_NAME]
    result = subprocess.run(command, cwd=packed.folder, capture_output=True, text=True)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@with_tools
def test_the_commands_of_the_readme_work_and_notice_a_change(packed: Packed, tmp_path: Path) -> None:
    lines = (packed.folder / "README.txt").read_text().split("WHAT IS HERE")[0].split("WITH STANDARD TOOLS")[1]
    commands = "\n".join(line.strip() for line in lines.splitlines() if line.startswith("    "))
    assert "openssl pkeyutl" in commands
    script = ["sh", "-e", "-c", commands]
    result = subprocess.run(script, cwd=packed.folder, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result
    folder = copied(packed, tmp_path)
    envelope = json.loads((folder / SEAL_NAME).read_text())
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    (folder / SEAL_NAME).write_text(json.dumps(envelope))
    assert subprocess.run(script, cwd=folder, capture_output=True).returncode != 0


def test_bodies_that_are_not_its_business_stay_at_home(packed: Packed) -> None:
    text = (packed.folder / "ledger.ndjson").read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    kept = [entry["kind"] for entry in entries if entry["body"] is not None]
    assert packed.exported.entries == len(entries)
    assert packed.exported.entries_without_body == len(entries) - len(kept)
    assert "a secret of others" not in text
    assert "a stranger" not in text
    assert packed.history.runs[1].run_id not in text  # the refused candidate
    assert (kept.count("key.trusted"), kept.count("approval.recorded"), kept.count("data.recalled")) == (2, 1, 1)


def test_a_pack_holds_the_runs_behind_the_model_and_no_others(packed: Packed, tmp_path: Path) -> None:
    first, _, third = (run.run_id for run in packed.history.runs)
    behind = sorted((first, third))  # by id; the champion that it was held against
    assert packed.exported.runs == tuple(behind)
    assert Records(packed.folder / "records").run_ids() == behind
    assert exported_pack(packed.history, "1", tmp_path / "one.tar.gz").runs == (first,)


def test_weights_go_in_when_asked_for_and_are_verified(packed: Packed, tmp_path: Path) -> None:
    exported = exported_pack(packed.history, "3", tmp_path, with_weights=True)
    assert verify_pack(Path(exported.path), packed.roots).findings == []
    subprocess.run(["tar", "xzf", exported.path, "-C", tmp_path], check=True)
    folder = tmp_path / packed.folder.name
    weights = folder / "weights" / "artifacts" / "worldgen_dmd" / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == packed.history.runs[2].model["parts"]["worldgen"]
    weights.write_bytes(b"other weights")
    found = {one.what for one in verify_pack(resealed(folder, packed, tmp_path / "x.tar.gz"), packed.roots).findings}
    assert found == {"disk/changed"}


@pytest.mark.parametrize("name", ["stages/evaluate/report.json", "decision.json", "params.yaml"])
def test_nothing_is_exported_of_records_that_do_not_hold(packed: Packed, tmp_path: Path, name: str) -> None:
    made = packed.history
    path = made.records.path(made.records.run(made.runs[2].run_id).files[name])
    content = path.read_bytes()
    try:
        path.write_bytes(content + b" ")
        with pytest.raises(RecordError, match=re.escape(name)):
            exported_pack(made, "3", tmp_path / "out.tar.gz")
    finally:
        path.write_bytes(content)
    assert not (tmp_path / "out.tar.gz").exists()


def test_a_key_that_the_ledger_does_not_trust_exports_nothing(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed.history, "key", make_key(tmp_path / "other.pem"))
    with pytest.raises(SigningError, match="does not let key"):
        exported_pack(packed.history, "3", tmp_path)


def test_the_page_loads_nothing_and_escapes_what_it_shows(packed: Packed) -> None:
    text = (packed.folder / "index.html").read_text()
    assert "<script" not in text and "http:" not in text and "https:" not in text and " src=" not in text
    assert "default-src &#39;none&#39;" in text
    assert "&lt;script&gt;withdrawn&lt;/script&gt;" in text
    assert REASON not in text
    for link in re.findall(r'href="([^"#]+)"', text):
        assert (packed.folder / link).is_file(), link


def test_exporting_writes_nothing_into_the_ledger(packed: Packed, tmp_path: Path) -> None:
    ledger = Ledger.open(ledger_url(packed.history.state))
    before = ledger.head()
    exported_pack(packed.history, "3", tmp_path)
    assert ledger.head() == before
    ledger.close()
