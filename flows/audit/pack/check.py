"""Verifying a pack: its seal and its files, then, as with a state directory, the walk from the public key on."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from flows.audit.finding import Finding
from flows.audit.pack.code import COMMIT_NAME, TREE_NAME, check_code
from flows.audit.pack.contents import CODE, COPIES, RUNS
from flows.audit.pack.opened import OpenedPack, opened_pack
from flows.audit.pack.seal import SEAL_NAME, check_files
from flows.audit.verify.evidence import Checked, Verdict
from flows.audit.verify.tally import DAMAGE
from flows.audit.verify.walk import verify
from flows.ledger.standing import registered
from flows.lineage.records import RunStatement
from flows.manifest import file_sha256


def verify_pack(path: Path, roots: tuple[str, ...], *, quick: bool = False) -> Verdict:
    """What holds of a pack, and what does not; with the public key alone, without a checkout or a network.

    Args:
        path: the archive, or the folder that it was unpacked to.
        roots: ids of the public keys that may be the ledger's first.
        quick: leaves out the bytes of weights.

    Raises:
        RecordError: the archive is damaged, or holds what no pack holds.
    """
    with opened_pack(path) as pack:
        verdict = verify(pack.evidence, roots, quick=quick)
        steps = [
            _step("seal of the pack", lambda: [*pack.findings, *_check_model(pack)], lambda: 1),
            _step("files of the pack", lambda: check_files(pack.folder), lambda: _count(pack)),
            _step("readable copies", lambda: _check_copies(pack), lambda: len(list(_copies(pack)))),
            _step("code of the runs", lambda: _check_code(pack), lambda: len(_code_folders(pack))),
        ]
    verdict.checked = [*(checked for checked, _ in steps), *verdict.checked]
    verdict.findings = [*(finding for _, found in steps for finding in found), *verdict.findings]
    return verdict


def _step(what: str, check: Callable[[], Iterable[Finding]], count: Callable[[], int]) -> tuple[Checked, list[Finding]]:
    started = time.perf_counter()
    found = list(check())
    seconds = round(time.perf_counter() - started, 3)
    return Checked(what=what, count=count(), findings=len(found), seconds=seconds), found


def _count(pack: OpenedPack) -> int:
    return sum(path.is_file() for path in pack.folder.rglob("*"))


def _check_model(pack: OpenedPack) -> Iterator[Finding]:
    """The model that the pack is of is registered in its ledger, as the seal says."""
    if pack.facts is None:
        return
    facts = pack.facts
    try:
        found = registered(pack.entries()).get((facts.name, facts.version))
    except DAMAGE:
        return  # the walk names the entry
    if found is None or (found.model_sha256, found.run_id) != (facts.model_sha256, facts.run_id):
        sentence = f"the ledger has registered another model, or none, as {facts.name} version {facts.version}"
        yield Finding(what="pack/other-model", where=SEAL_NAME, sentence=sentence)


def _copies(pack: OpenedPack) -> Iterator[tuple[str, Path, RunStatement]]:
    """Every readable copy, by the name of its record, with the run it is of."""
    for folder in sorted((pack.folder / RUNS).glob("*")):
        run = _run(pack, folder.name)
        if run is not None:
            yield from ((name, folder / name, run) for name in COPIES if (folder / name).is_file())


def _check_copies(pack: OpenedPack) -> Iterator[Finding]:
    for name, path, run in _copies(pack):
        if file_sha256(path) != run.files.get(name):
            where = path.relative_to(pack.folder).as_posix()
            yield Finding(what="pack/copy", where=where, sentence=f"not the record {name} of run {run.run_id}")


def _code_folders(pack: OpenedPack) -> list[Path]:
    return sorted((pack.folder / CODE).glob("*"))


def _check_code(pack: OpenedPack) -> Iterator[Finding]:
    for folder in _code_folders(pack):
        run = _run(pack, folder.name)
        if run is None:
            yield Finding(
                what="code/unknown", where=f"{CODE}/{folder.name}", sentence="of a run that is not in the pack"
            )
            continue
        try:
            files = {name: (folder / name).read_bytes() for name in (COMMIT_NAME, TREE_NAME)}
            yield from check_code(files, run, pack.evidence.records)
        except DAMAGE as error:
            yield Finding(what="code/unreadable", where=f"{CODE}/{folder.name}", sentence=str(error)[:300])


def _run(pack: OpenedPack, run_id: str) -> RunStatement | None:
    """A run's statement; None where there is none that can be read, which the walk says."""
    try:
        return pack.evidence.records.run(run_id)
    except DAMAGE:
        return None
