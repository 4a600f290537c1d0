"""Records of small made-up runs, for the graph and its index: what was made of what, in a few words."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from flows.lineage.records import MANIFEST, STATEMENT, Records, stage_record
from flows.manifest import canonical_json
from flows.signing.dsse import envelope_bytes, sign
from flows.signing.keys import SigningKey, make_key
from flows.signing.statements import Dependency, RunFacts, StageFacts, run_statement, stage_statement

Clip = tuple[str, str, str, str, str]  # clip, log, source, split, shard


@dataclass
class Story:
    """Records in a folder, and a key that signs them."""

    root: Path
    records: Records = field(init=False)
    key: SigningKey = field(init=False)

    def __post_init__(self) -> None:
        self.records, self.key = Records(self.root / "records"), make_key(self.root / "key.pem")

    def run(self, run_id: str, minute: int) -> "Told":
        """A run that ends at a minute past noon."""
        return Told(self, run_id, f"2026-03-01T12:{minute:02d}:00.000000Z")


@dataclass
class Told:
    """One run, told stage by stage."""

    story: Story
    run_id: str
    ended: str
    files: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)  # sha256 of the manifest by stage
    facts: dict[str, Any] = field(default_factory=dict)

    def keep(self, name: str, content: bytes) -> str:
        """A record of the run; its sha256."""
        self.files[name] = self.story.records.put(content)
        return self.files[name]

    def stage(self, stage: str, content: str, inputs: Sequence[str] = (), **more: Any) -> "Told":
        """An output with this content, made of those of other stages.

        `files` are sha256 by path of more files in its manifest, `weights` those that are subjects, `outcome`, `params`
        and `tree` as in a statement.
        """
        files: Mapping[str, str] = more.get("files", {}) | more.get("weights", {})
        manifest = {
            "stage": stage,
            "content": content,
            "files": {n: {"sha256": s, "bytes": 1} for n, s in files.items()},
        }
        self.made[stage] = self.keep(stage_record(stage, MANIFEST), canonical_json(manifest).encode())
        weights = {f"artifacts/{stage}/{name}": sha256 for name, sha256 in more.get("weights", {}).items()}
        dependencies = [Dependency(name="code", digest={"gitCommit": "c", "gitTree": more.get("tree", "t" * 40)})]
        dependencies += [Dependency(name=f"artifacts/{name}", digest={"sha256": self.made[name]}) for name in inputs]
        facts = StageFacts(
            run_id=self.run_id,
            stage=stage,
            outcome=more.get("outcome", "ran"),
            subjects={f"artifacts/{stage}/{MANIFEST}": self.made[stage]} | weights,
            params={"seed": 7, **more.get("params", {})},
            lock={},
            environment={},
            dependencies=tuple(dependencies),
            started_at=self.ended,
            finished_at=self.ended,
        )
        envelope = sign(stage_statement(facts), self.story.key)
        self.keep(stage_record(stage, STATEMENT), envelope_bytes(envelope))
        return self

    def prepare(self, clips: Sequence[Clip], content: str = "", **more: Any) -> "Told":
        """Prepared clips; their shards have digests made of their names and content."""
        names = ("clip_id", "log_id", "source", "split", "shard")
        columns = {name: [clip[i] for clip in clips] for i, name in enumerate(names)}
        table, stream = pa.table(columns | {"n_frames": [20] * len(clips)}), io.BytesIO()
        pyarrow.parquet.write_table(table, stream)
        self.keep(stage_record("prepare", "clips.parquet"), stream.getvalue())
        entries = [{"name": name, "adapter": "dgp", "digest": None} for name in sorted({clip[2] for clip in clips})]
        self.keep(stage_record("prepare", "sources.json"), json.dumps({"version": 1, "sources": entries}).encode())
        shards = {f"shards/{clip[4]}": f"shard-{clip[4]}-{content}" for clip in clips}
        told = ";".join(" ".join(clip) for clip in clips)
        return self.stage("prepare", told + content, files=shards, **more)

    def close(self, **facts: Any) -> None:
        """Ends the run: its statement names its records."""
        known = {"actor": "somebody", "profile": "tiny", "status": "promoted", "snapshot": "s", "tree": "t"}
        times = {"started_at": self.ended, "ended_at": self.ended}
        value = RunFacts(run_id=self.run_id, dirty=False, **(known | times | facts))
        envelope = sign(run_statement(value, self.files), self.story.key)
        self.story.records.add_run(self.run_id, envelope)
