import hashlib
import subprocess
from pathlib import Path

import pytest

from flows.audit.pack.code import COMMIT_NAME, TREE_NAME, check_code, code_files
from flows.git import git
from flows.lineage.records import Records, RunStatement
from flows.signing.statements import RunFacts
from worldmodel.errors import WorkspaceError

FACTS = {"run_id": "r", "actor": "a", "profile": "tiny", "status": "promoted", "dirty": False, "started_at": "t"}


def statement(checkout: Path, records: Records) -> RunStatement:
    """Of a run of the checkout's HEAD."""
    snapshot, tree = git(checkout, "rev-parse", "HEAD"), git(checkout, "rev-parse", "HEAD^{tree}")
    facts = RunFacts.model_validate({**FACTS, "snapshot": snapshot, "tree": tree, "ended_at": "t"})
    return RunStatement("r", {"params.yaml": records.put(b"seed: 7\n")}, facts, {}, "")


@pytest.fixture(params=["sha1", "sha256"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, RunStatement, Records]:
    """A checkout with names that sort unlike their bytes, an executable, a link, and names beyond ASCII."""
    checkout, records = tmp_path / "checkout", Records(tmp_path / "records")
    for name in ("a/x", "a.txt", "a-b", "a0", "deep/er/still/here", "straße/名.txt", "params.yaml"):
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("seed: 7\n")
    (checkout / "a0").chmod(0o755)
    (checkout / "link").symlink_to("a.txt")
    git(checkout, "init", "--quiet", f"--object-format={request.param}")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message=All of it\n\nwith a body")
    return checkout, statement(checkout, records), records


Made = tuple[Path, RunStatement, Records]


def test_commit_and_tree_are_proven_without_git(run: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, made, records = run
    files = code_files(checkout, made)
    monkeypatch.setenv("PATH", "")
    assert check_code(files, made, records) == []


def test_the_listing_is_what_git_lists(run: Made) -> None:
    checkout, made, _ = run
    listed = code_files(checkout, made)[TREE_NAME].decode().splitlines()
    assert [line.partition("\t")[2] for line in listed if " blob " in line] == sorted(
        git(checkout, "-c", "core.quotepath=off", "ls-files").splitlines(), key=str.encode
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\ta.txt", b"\tb.txt"),
        (b"100644 blob", b"100755 blob"),
        (b"\tdeep/er/still/here", b"\tdeep/er/still/there"),
        (b"120000", b"100644"),
    ],
)
def test_a_changed_listing_is_noticed(run: Made, old: bytes, new: bytes) -> None:
    checkout, made, records = run
    files = code_files(checkout, made)
    altered = files[TREE_NAME].replace(old, new, 1)
    assert altered != files[TREE_NAME]
    found = check_code({**files, TREE_NAME: altered}, made, records)
    assert [one.what for one in found] == ["code/tree"]


@pytest.mark.parametrize("lines", [slice(1, None), slice(0, -1), slice(0, 0)])
def test_a_line_that_is_gone_is_noticed(run: Made, lines: slice) -> None:
    checkout, made, records = run
    files = code_files(checkout, made)
    kept = b"".join(files[TREE_NAME].splitlines(keepends=True)[lines])
    assert [one.what for one in check_code({**files, TREE_NAME: kept}, made, records)] == ["code/tree"]


def test_another_blob_under_a_name_is_noticed(run: Made) -> None:
    checkout, made, records = run
    files = code_files(checkout, made)
    lines = files[TREE_NAME].decode().splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith("\ta.txt"))
    object_id = lines[at].split(" ")[2].split("\t")[0]
    lines[at] = lines[at].replace(object_id, object_id[::-1])
    altered = ("\n".join(lines) + "\n").encode()
    assert [one.what for one in check_code({**files, TREE_NAME: altered}, made, records)] == ["code/tree"]


def test_another_commit_is_noticed(run: Made) -> None:
    checkout, made, records = run
    files = code_files(checkout, made)
    altered = files[COMMIT_NAME].replace(b"All of it", b"None of it")
    assert [one.what for one in check_code({**files, COMMIT_NAME: altered}, made, records)] == ["code/commit"]


def test_params_that_are_not_those_of_the_snapshot_are_noticed(run: Made) -> None:
    checkout, made, records = run
    made.files["params.yaml"] = records.put(b"seed: 8\n")
    found = check_code(code_files(checkout, made), made, records)
    assert [(one.what, "params.yaml" in one.sentence) for one in found] == [("code/differs", True)]


def test_a_snapshot_that_git_lost_is_named(run: Made) -> None:
    checkout, made, _ = run
    gone = made.facts.model_copy(update={"snapshot": hashlib.sha1(b"").hexdigest()})
    with pytest.raises(WorkspaceError, match="does not have the snapshot"):
        code_files(checkout, RunStatement("r", {}, gone, {}, ""))


def test_git_hash_object_gives_the_id_in_the_listing(run: Made) -> None:
    """As the README tells an auditor who has a file of the code."""
    checkout, made, _ = run
    result = subprocess.run(["git", "hash-object", "a.txt"], cwd=checkout, capture_output=True, text=True, check=True)
    assert f"100644 blob {result.stdout.strip()}\ta.txt\n" in code_files(checkout, made)[TREE_NAME].decode()
