"""A small history made with the platform's own records: a checkout, a state directory and three runs, without training.

Run 1 trains and is promoted (version 1 of `toy`). Run 2 finds the same data and tokenizer, its WorldGen is worse, and
the gate refuses it (version 2). Run 3 has another log in place of `log-a` and is promoted (version 3). Every run has a
teacher chain (bidirectional -> dmd), a tokenizer, WorldRec and rendered priors. Clips: two a log.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evaluation.base import fingerprint
from evaluation.decision import Decision
from evaluation.evidence import NO_CHAMPION, Manifests, Performance
from evaluation.gate import decide
from evaluation.records import write_record
from evaluation.report import Report
from flows.bundle import bundle_digest, bundle_digests
from flows.git import git
from flows.ledger.anchors import HEAD_NAME, anchor, signed_head
from flows.ledger.bodies import ModelRegistered, PromotionCompleted, PromotionIntended
from flows.ledger.store import Ledger, ledger_url
from flows.ledger.trust import ensure_trusted
from flows.lineage.recorder import Recorder
from flows.lineage.records import Records
from flows.manifest import write_manifest
from flows.runs import RunRecord, Runs
from flows.signing.dsse import envelope_bytes
from flows.signing.keys import SigningKey, make_key
from flows.stores import now_text
from flows.workspace import Snapshot, open_workspace, record, take_snapshot
from tests.evaluation import gating
from worldmodel.data.manifest import ClipRow
from worldmodel.data.manifest import write_manifest as write_clips

MODEL = "toy"
ACTOR = "trainer"
PARENTS = {
    "prepare": (),
    "validate": ("prepare",),
    "train_worldrec": ("prepare", "validate"),
    "render_priors": ("prepare", "train_worldrec"),
    "train_tokenizer": ("prepare", "validate"),
    "worldgen_bidirectional": ("prepare", "render_priors", "train_tokenizer"),
    "worldgen_dmd": ("prepare", "render_priors", "train_tokenizer", "worldgen_bidirectional"),
    "evaluate": ("prepare", "train_worldrec", "train_tokenizer", "worldgen_dmd"),
}
ENVIRONMENT = {"python": "3.11.9", "torch": "2.13.0", "processor": "a processor", "cores": "2", "threads": "2"}
GOOD: dict[str, list[float | None]] = {"image/psnr": [20.0, 22.0, 21.0, 21.0], "depth/rmse": [3.0, 2.0, 4.0, 3.0]}
BETTER: dict[str, list[float | None]] = {"image/psnr": [21.0, 23.0, 22.0, 22.0], "depth/rmse": [2.5, 1.5, 3.5, 2.5]}
BAD: dict[str, list[float | None]] = {"image/psnr": [12.0, 13.0, 11.0, 12.0], "depth/rmse": [3.0, 2.0, 4.0, 3.0]}
SPLITS = {"log-a": "train", "log-b": "train", "log-c": "val", "log-d": "test", "log-e": "train"}


@dataclass
class History:
    """What was made, and what is needed to go on with it."""

    root: Path
    key: SigningKey
    key_path: Path
    state: Path
    records: Records
    ledger: Ledger
    runs: list[RunRecord] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)  # a moment after each run, in the ledger's words

    @property
    def public(self) -> Path:
        """The file with the root's public key."""
        return self.key_path.with_name(f"{self.key_path.name}.pub")

    def workspace(self, run: RunRecord) -> Path:
        """Where a run worked."""
        return self.state / "workspaces" / run.key


def make_history(root: Path) -> History:
    """Three runs in `root/checkout`; the key lies in `root/keys`."""
    checkout, state = root / "checkout", root / "checkout" / ".worldmodel"
    _write_checkout(checkout)
    key_path = root / "keys" / "signing.pem"
    key = make_key(key_path)
    made = History(checkout, key, key_path, state, Records(state / "records"), Ledger.open(ledger_url(state)))
    ensure_trusted(made.ledger, key, ACTOR)
    add_run(made, "one", ("log-a", "log-b", "log-c", "log-d"), GOOD, turn=1)
    add_run(made, "one", ("log-a", "log-b", "log-c", "log-d"), BAD, turn=2, worldgen="two")
    add_run(made, "one", ("log-b", "log-c", "log-d", "log-e"), BETTER, turn=3)
    return made


def add_run(
    made: History,
    content: str,
    logs: tuple[str, ...],
    values: Mapping[str, list[float | None]],
    *,
    turn: int,
    worldgen: str = "",
    fit: bool = True,
) -> RunRecord:
    """One more run: `content` (and `worldgen`, for WorldGen alone) stand for what training came to.

    `fit` is the verdict of `validate`.
    """
    params = {"seed": 7, "threads": 2, **{stage: {"steps": 3} for stage in PARENTS}}
    params |= {"worldgen_dmd": {"steps": 3, "flavour": worldgen or content}, "register": {"model": MODEL}}
    params |= {"worldgen_bidirectional": {"steps": 3, "lr": 0.00005}}
    sources = {"version": 1, "sources": [{"name": "drives", "adapter": "dgp", "digest": "5" * 64}]}
    snapshot = take_snapshot(made.root, yaml.safe_dump(params), json.dumps({**sources, "note": turn}))
    workspace = open_workspace(made.root, made.state, snapshot)
    runs = Runs(made.state)
    run = runs.create(snapshot.key, profile="tiny", snapshot=snapshot.commit, dirty=snapshot.dirty, sources=[])
    (runs.folder(run.run_id) / "packages.json").write_text(json.dumps({"torch": "2.13.0", "numpy": "2.4.6"}))
    recorder = Recorder(made.records, made.ledger, made.key, run, snapshot, workspace)
    lock: dict[str, Any] = {}
    for stage in PARENTS:
        what = worldgen or content if stage == "worldgen_dmd" else content
        outcome = _make_stage(made, workspace, stage, what, logs, fit)
        lock[stage] = _lock_entry(made, workspace, stage, params)
        text = yaml.safe_dump({"schema": "2.0", "stages": lock}, sort_keys=False)
        (workspace / "dvc.lock").write_text(text.replace("5.0e-05", "5e-05"))  # as DVC writes it
        if stage == "worldgen_dmd":
            _write_report(made, workspace, values)
        recorder.stage(stage, outcome, lock[stage], ENVIRONMENT)
    _conclude(made, run, recorder, workspace, snapshot)
    return run


def _conclude(made: History, run: RunRecord, recorder: Recorder, workspace: Path, snapshot: Snapshot) -> None:
    """Registers, decides, promotes if the gate says so, and closes the run."""
    runs, artifacts = Runs(made.state), workspace / "artifacts"
    sha256, version = bundle_digest(artifacts), str(len(made.runs) + 1)
    parts = bundle_digests(artifacts)
    run.model = {"name": MODEL, "version": version, "sha256": sha256, "parts": parts}
    body = ModelRegistered(name=MODEL, version=version, model_sha256=sha256, run_id=run.run_id, parts=parts)
    made.ledger.append(body, ACTOR)
    decision = _decide(made, run, sha256, artifacts)
    if decision.verdict == "promote":
        _promote(made, run, version, sha256, decision)
    (runs.folder(run.run_id) / "dvc.lock").write_bytes((workspace / "dvc.lock").read_bytes())
    run.decision = decision.summary
    runs.finish(run, "promoted" if decision.verdict == "promote" else "refused", 0)
    closed = recorder.close(runs.folder(run.run_id), "", decision)
    files = {**closed.files, HEAD_NAME: envelope_bytes(signed_head(made.ledger, made.key))}
    run.commit = record(made.root, run.run_id, snapshot, files | {"dvc.lock": (workspace / "dvc.lock").read_bytes()})
    runs.save(run)
    anchor(made.root, made.ledger, made.key)
    made.runs.append(run)
    made.after.append(now_text())


def _decide(made: History, run: RunRecord, sha256: str, artifacts: Path) -> Decision:
    report = Report.model_validate(json.loads((artifacts / "evaluate" / "report.json").read_text()))
    champion = next((r for r in reversed(made.runs) if r.status == "promoted"), None)
    serving = None if champion is None else champion.model["sha256"]
    performance = Performance(model_sha256=sha256, machine="2", protocol="tiny", peak_memory_mib=900.0, repeats=3)
    inputs = gating.inputs(
        report,
        None if serving is None else made.reports[serving],
        candidate_sha256=sha256,
        champion_sha256=serving or NO_CHAMPION,
        performance=performance,
        manifests=Manifests(stages=("prepare", "evaluate")),
    )
    decision, folder = decide(inputs), Runs(made.state).folder(run.run_id)
    write_record(folder / "gate-inputs.json", inputs)
    write_record(folder / "decision.json", decision)
    made.reports[sha256] = report
    return decision


def _promote(made: History, run: RunRecord, version: str, sha256: str, decision: Decision) -> None:
    before = next((r for r in reversed(made.runs) if r.status == "promoted"), None)
    body = PromotionIntended(
        promotion=f"p{version}",
        name=MODEL,
        version=version,
        model_sha256=sha256,
        from_version=None if before is None else before.model["version"],
        from_sha256=None if before is None else before.model["sha256"],
        cause="gate",
        reason=decision.summary,
        run_id=run.run_id,
        decision_sha256=fingerprint(decision),
    )
    made.ledger.append(body, ACTOR)
    made.ledger.append(PromotionCompleted(promotion=f"p{version}", name=MODEL, by="promoter"), ACTOR)


def verdict(fit: bool) -> dict[str, Any]:
    """What the stage `validate` writes: one suite with one expectation."""
    expectation = {
        "check": "ids are unique",
        "type": "expect_column_values_to_be_unique",
        "column": "clip_id",
        "kwargs": {"column": "clip_id"},
        "success": fit,
        "not_applicable": False,
        "observed": {"checked": 8},
        "unexpected_count": 0 if fit else 3,
        "clips": [],
        "values": [],
        "exception": None,
    }
    return {
        "schema_version": "worldmodel.verdict/1",
        "success": fit,
        "suite_version": 2,
        "seed": 7,
        "n_clips": 8,
        "sampled": ["log-b-clip0", "log-c-clip0"],
        "suites": [{"name": "manifest", "fingerprint": "f" * 64, "success": fit, "expectations": [expectation]}],
        "errors": {},
        "skipped": [],
    }


def _make_stage(made: History, workspace: Path, stage: str, content: str, logs: tuple[str, ...], fit: bool) -> str:
    """The output of a stage; `cached` where another run has made the same."""
    out = workspace / "artifacts" / stage
    out.mkdir(parents=True, exist_ok=True)
    data = "+".join(logs)
    if stage == "prepare":
        _write_clips(out, logs)
    elif stage == "validate":
        (out / "verdict.json").write_text(json.dumps(verdict(fit)))
    elif stage == "train_tokenizer":
        (out / "tokenizer").mkdir(exist_ok=True)
        (out / "tokenizer" / "tokenizer.safetensors").write_bytes(f"tokenizer {data}".encode())
        (out / "tokenizer" / "config.json").write_text("{}")
    elif stage != "evaluate":
        (out / "model.safetensors").write_bytes(f"{stage} {content} {data}".encode())
        (out / "config.json").write_text("{}")
    if stage != "evaluate":
        write_manifest(out, stage)
    run_dir = workspace / "run" / stage
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "events.ndjson").write_text(json.dumps({"eventType": "COMPLETE", "job": {"name": stage}}) + "\n")
    object_ = _object(made, _listing(made, out)) if stage != "evaluate" else None
    return "ran" if object_ is None or object_ else "cached"


def _write_report(made: History, workspace: Path, values: Mapping[str, list[float | None]]) -> None:
    out = workspace / "artifacts" / "evaluate"
    out.mkdir(parents=True, exist_ok=True)
    write_record(out / "report.json", gating.report(sha256=bundle_digest(workspace / "artifacts"), synthetic=values))
    write_manifest(out, "evaluate")


def _write_clips(out: Path, logs: tuple[str, ...]) -> None:
    (out / "shards").mkdir(exist_ok=True)
    rows: list[ClipRow] = []
    for split in ("train", "val", "test"):
        clips = [f"{log}-clip{i}" for log in logs if SPLITS[log] == split for i in range(2)]
        shard = f"shard-{len(list((out / 'shards').glob('*'))):05d}.tar"
        (out / "shards" / shard).write_bytes(" ".join(clips).encode())
        rows += [_row(clip, split, shard, i) for i, clip in enumerate(clips)]
    write_clips(out / "clips.parquet", rows)
    sources = {"version": 1, "sources": [{"name": "drives", "adapter": "dgp", "digest": "5" * 64}]}
    (out / "sources.json").write_text(json.dumps(sources))
    (out / "not_included.json").write_text(json.dumps({"logs": [], "clips_without": {}, "kept_rates": {}}))


def _row(clip: str, split: Any, shard: str, offset: int) -> ClipRow:
    has = dict.fromkeys(
        ("poses", "depth", "sky", "dynamic", "points", "boxes", "layout", "layout_video", "text"), False
    )
    return {  # type: ignore[typeddict-item,return-value]
        "clip_id": clip,
        "log_id": clip.rpartition("-clip")[0],
        "source": "drives",
        "licence": "MIT",
        "cameras": ["front"],
        "n_frames": 20,
        "height": 64,
        "width": 96,
        "rate_hz": 10.0,
        **{f"has_{name}": value for name, value in has.items()},
        "depth_kind": None,
        "weather": "clear",
        "time_of_day": "day",
        "tags": "{}",
        "split": split,
        "heldout_frames": [],
        "shard": shard,
        "offset": offset,
        "byte_size": 1,
        "sha256": hashlib.sha256(clip.encode()).hexdigest(),
    }


def _lock_entry(made: History, workspace: Path, stage: str, params: dict[str, Any]) -> dict[str, Any]:
    """As DVC writes it, with the outputs in DVC's cache."""
    if stage == "evaluate":
        _object(made, _listing(made, workspace / "artifacts" / stage))
    deps = [{"path": f"artifacts/{name}", "hash": "md5", "md5": _dir_md5(workspace, name)} for name in PARENTS[stage]]
    if stage == "prepare":
        for name in ("data/recalls.json", "data/sources.json"):
            content = (workspace / name).read_bytes()
            deps.append({"path": name, "hash": "md5", "md5": hashlib.md5(content).hexdigest()})
    return {
        "cmd": f"exec python -m flows.stages.{stage}",
        "deps": deps,
        "params": {"params.yaml": {key: params[key] for key in ("seed", "threads", stage)}},
        "outs": [{"path": f"artifacts/{stage}", "hash": "md5", "md5": _dir_md5(workspace, stage)}],
    }


def _listing(made: History, out: Path) -> bytes:
    """DVC's listing of a folder, with the files in the cache."""
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        _object(made, path.read_bytes(), "")
    return _listing_of(out)


def _listing_of(out: Path) -> bytes:
    rows = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.relative_to(out).as_posix()}
        for path in sorted(p for p in out.rglob("*") if p.is_file())
    ]
    return json.dumps(rows).encode()


def _dir_md5(workspace: Path, stage: str) -> str:
    return hashlib.md5(_listing_of(workspace / "artifacts" / stage)).hexdigest() + ".dir"


def _object(made: History, content: bytes, suffix: str = ".dir") -> bool:
    """Keeps an object in DVC's cache; whether it is new."""
    md5 = hashlib.md5(content).hexdigest()
    path = made.state / "cache" / "files" / "md5" / md5[:2] / f"{md5[2:]}{suffix}"
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    return True


def _write_checkout(root: Path) -> None:
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("")
    (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".gitignore").write_text("/.worldmodel/\n/artifacts/\n/run/\n/dvc.lock\n")
    (root / "params.yaml").write_text("seed: 7\n")
    stages = {
        stage: {
            "cmd": f"exec python -m flows.stages.{stage}",
            "deps": [f"artifacts/{parent}" for parent in parents],
            "params": ["seed", "threads", stage],
            "outs": [f"artifacts/{stage}"],
        }
        for stage, parents in PARENTS.items()
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=A project")


def environment(made: History) -> dict[str, str]:
    """Variables under which a command line finds this history."""
    return {**os.environ, "WORLDMODEL_STATE": str(made.state), "WORLDMODEL_SIGNING_KEY": str(made.key_path)}
