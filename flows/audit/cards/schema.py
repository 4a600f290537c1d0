"""The model card as a record: everything in it comes from signed records and from the ledger, but for fixed words.

Versioned; a reader refuses any other. Times are ISO 8601 in UTC, digests are sha256 in hex unless they say otherwise.
"""

from typing import Literal

from pydantic import Field

from evaluation.base import Direction, Interval, Record

CARD_SCHEMA: Literal["worldmodel.model-card/1"] = "worldmodel.model-card/1"


class Identity(Record):
    """Which model: a registered version, and the digest of its bundle."""

    name: str
    version: str
    sha256: str
    registered_at: str
    registered_by: str


class AsOf(Record):
    """Where the ledger stood when the card was made."""

    sequence: int
    hash: str
    time: str


class Part(Record):
    """A part of the model, what it is for, and what it cannot do (fixed words by part)."""

    name: str
    title: str
    stage: str
    weights: str
    sha256: str
    what: str
    uses: tuple[str, ...]
    limits: tuple[str, ...]


class Run(Record):
    """The run that made the model; `snapshot` and `tree` are git's ids, `signed_by` is a key's id."""

    run_id: str
    actor: str
    profile: str
    status: str
    snapshot: str
    tree: str
    dirty: bool
    started_at: str
    ended_at: str
    flow_run: str
    statement_sha256: str
    signed_by: str


class SourceFacts(Record):
    """One source as the prepared data hold it: clips, logs and frames by split; `digest` None: generated."""

    name: str
    adapter: str
    digest: str | None
    licences: tuple[str, ...]
    clips: dict[str, int]
    logs: dict[str, int]
    frames: dict[str, int]
    cameras: tuple[str, ...]
    resolutions: tuple[str, ...]
    rates_hz: tuple[float, ...]
    conditions: dict[str, dict[str, int]]


class LeftOut(Record):
    """A log that is not among the clips, or a clip of it, and why."""

    source: str
    id: str
    reason: str


class Validation(Record):
    """What the checks said of the data; `failures` are sentences."""

    fit: bool
    suite_version: str
    expectations: int
    clips_sampled: int
    failures: tuple[str, ...]
    verdict_sha256: str


class RecalledData(Record):
    """Something that was recalled, and the splits in which this model's data hold it (clips)."""

    what: str
    id: str
    reason: str
    time: str
    sequence: int
    clips: dict[str, int]


class Data(Record):
    """The prepared data; `manifest_sha256` names every file of them."""

    manifest_sha256: str
    shards: int
    bytes: int
    sources: tuple[SourceFacts, ...]
    shared_logs: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    validation: Validation | None
    recalled: tuple[RecalledData, ...]


class Stage(Record):
    """A step of the making; `made_in` is the run that computed it, None where no record says."""

    stage: str
    outcome: str
    made_in: str | None
    output_sha256: str
    inputs: tuple[str, ...]
    seed: int | None
    steps: int | None
    params: dict[str, object]
    seconds: float | None
    environment: dict[str, str]
    not_applicable: str | None


class Loss(Record):
    """Whether training did what training should."""

    stage: str
    steps: int
    first_tenth: float | None
    last_tenth: float | None
    sentence: str


class Measure(Record):
    """One number with its interval, of one source and split.

    `of` is `reconstruction`, or the method of generation (the registered one is `dmd`); `same_log`: training saw other
    frames of these logs.
    """

    of: str
    role: str
    source: str
    split: str
    same_log: bool
    metric: str
    region: str
    unit: str
    direction: Direction
    value: float | None
    ci95: Interval | None
    n_clips: int
    n_logs: int
    n_reference_clips: int
    baselines: dict[str, float]
    note: str


class NotMeasured(Record):
    """What could not be measured, or was not, and why."""

    what: str
    reason: str


class Network(Record):
    """A network that something was measured with."""

    id: str
    package: str
    sha256: str
    licence: str
    kind: str


class Performance(Record):
    """Speed and memory on one machine."""

    machine: str
    seconds_per_frame: float | None
    seconds_per_clip: float | None
    peak_memory_mib: float
    repeats: int


class Evaluation(Record):
    """What was measured; `protocol_sha256` says how, `report_sha256` is the canonical report's."""

    report_sha256: str
    protocol: str
    protocol_sha256: str
    summary: str
    intervals: str
    clips: int
    measures: tuple[Measure, ...]
    losses: tuple[Loss, ...]
    networks: tuple[Network, ...]
    performance: Performance | None


class Rule(Record):
    """One rule of the gate."""

    id: str
    verdict: str
    sentence: str


class Decision(Record):
    """What the gate decided; `champion_sha256` is the model that it was held against, if one served."""

    sha256: str
    verdict: str
    summary: str
    champion_sha256: str | None
    rules: tuple[Rule, ...]


class Event(Record):
    """An entry of the ledger about this model, in words; `key` is of who signed, where something was signed."""

    sequence: int
    time: str
    actor: str
    kind: str
    sentence: str
    key: str | None = None


class Standing(Record):
    """Whether the model serves; `until` is when another took its place."""

    champion: bool
    since: str | None = None
    until: str | None = None
    sentence: str


class ModelCard(Record):
    """All of it. `evaluation` and `decision` are null where the run left none; `not_measured` says what is missing."""

    schema_version: Literal["worldmodel.model-card/1"] = CARD_SCHEMA
    model: Identity
    as_of: AsOf
    standing: Standing
    parts: tuple[Part, ...]
    run: Run
    data: Data | None
    training: tuple[Stage, ...]
    packages: dict[str, str] = Field(default_factory=dict)
    evaluation: Evaluation | None
    decision: Decision | None
    not_measured: tuple[NotMeasured, ...]
    history: tuple[Event, ...]
