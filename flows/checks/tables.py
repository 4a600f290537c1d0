"""The tables that the suites look at: the manifest with two derived columns, the splits, and the decoded sample.

A sample is drawn from every (source, split), so each is represented; it depends on the clip ids and the seed alone. An
image counts as a duplicate if its decoded pixels are the same, bit for bit, as those of an image of another split;
images of clips outside the sample, and near duplicates, are not looked at.
"""

import hashlib
import io
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.checks.columns import COLUMNS, Measured, Skip, measure_clip
from flows.checks.config import ValidateConfig
from worldmodel.data.manifest import SPLITS
from worldmodel.data.shards import SHARD_DIRECTORY, ClipStore
from worldmodel.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


_BY_KIND = ("depth_error_frames", "depth_error_cameras", "depth_error_points", "image_agreement")


@dataclass(frozen=True)
class ClipTable:
    """One row for each sampled clip, and what could not be measured."""

    frame: "pd.DataFrame"
    skipped: tuple[Skip, ...]


def manifest_table(manifest: "pd.DataFrame") -> "pd.DataFrame":
    """The manifest with `n_cameras` and `splits_of_log`, how many splits the clip's log appears in."""
    table = manifest.drop(columns="heldout_frames")
    table["n_cameras"] = [0 if cameras is None else len(cameras) for cameras in manifest["cameras"]]
    table["cameras"] = [None if cameras is None else ",".join(cameras) for cameras in manifest["cameras"]]
    table["splits_of_log"] = table.groupby("log_id")["split"].transform("nunique").astype("Int64")
    return table


def split_table(manifest: "pd.DataFrame", config: ValidateConfig) -> "pd.DataFrame":
    """Clips found and clips required in each split."""
    import pandas as pd

    counts = Counter(manifest["split"])
    rows = [{"split": s, "n_clips": counts[s], "min_clips": config.min_clips.get(s, 0)} for s in SPLITS]
    return pd.DataFrame(rows)


def sample_clips(manifest: "pd.DataFrame", per_stratum: int, seed: int) -> list[str]:
    """Ids of up to `per_stratum` clips of every (source, split), sorted; the same for the same ids and seed."""
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    for clip_id, source, split in zip(manifest["clip_id"], manifest["source"], manifest["split"], strict=True):
        strata[str(source), str(split)].append(str(clip_id))
    chosen = (sorted(set(ids), key=lambda i: _rank(seed, i))[:per_stratum] for ids in strata.values())
    return sorted(clip_id for ids in chosen for clip_id in ids)


def _rank(seed: int, clip_id: str) -> str:
    return hashlib.sha256(f"{seed}:{clip_id}".encode()).hexdigest()


def clip_table(store: ClipStore, clip_ids: list[str], progress: Callable[[int, int], None]) -> ClipTable:
    """Measures the sampled clips, one after the other; a clip that cannot be decoded gets a `decode_error`."""
    import pandas as pd

    rows = {str(row["clip_id"]): row for row in store.manifest.to_dict("records")}
    records: list[dict[str, Any]] = []
    images: dict[str, frozenset[str]] = {}
    skipped: list[Skip] = []
    for done, clip_id in enumerate(clip_ids, start=1):
        measured, error = _measure(store, clip_id, rows[clip_id])
        identity = {name: rows[clip_id][name] for name in ("clip_id", "log_id", "source", "split", "sha256")}
        identity |= {"sha256_of_members": _member_digest(store.root, rows[clip_id]), "decode_error": error}
        records.append({**identity, **_by_depth_kind(measured.values)})
        images[clip_id] = measured.images
        skipped += measured.skipped
        progress(done, len(clip_ids))
    _count_shared_images(records, images)
    return ClipTable(pd.DataFrame(records, columns=_column_names()), tuple(skipped))


def _measure(store: ClipStore, clip_id: str, row: dict[Any, Any]) -> tuple[Measured, str | None]:
    try:
        return measure_clip(store.load(clip_id), row), None
    except DataError as error:
        skip = Skip(clip_id, COLUMNS, "the clip cannot be decoded")
        return Measured(dict.fromkeys(COLUMNS), (skip,), frozenset()), " ".join(str(error).split())


def _by_depth_kind(values: dict[str, Any]) -> dict[str, Any]:
    """Dense and LiDAR depth have different limits, so what depends on them are different columns."""
    kind = values.get("depth_kind")
    return {f"{kind}_{name}" if name in _BY_KIND and kind else name: v for name, v in values.items()}


def _column_names() -> list[str]:
    identity = ["clip_id", "log_id", "source", "split", "sha256", "sha256_of_members", "decode_error"]
    others = [name for name in COLUMNS if name not in _BY_KIND]
    return [
        *identity,
        *others,
        *(f"{kind}_{e}" for kind in ("dense", "lidar") for e in _BY_KIND),
        "images_in_other_splits",
    ]


def _count_shared_images(records: list[dict[str, Any]], images: dict[str, frozenset[str]]) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for image in images[record["clip_id"]]:
            splits[image].add(record["split"])
    for record in records:
        record["images_in_other_splits"] = sum(len(splits[image]) > 1 for image in images[record["clip_id"]])


def _member_digest(root: Path, row: dict[Any, Any]) -> str | None:
    """sha256 over the clip's member contents in tar order; None where they are no tar."""
    digest = hashlib.sha256()
    try:
        with (root / SHARD_DIRECTORY / row["shard"]).open("rb") as shard:
            shard.seek(row["offset"])
            members = io.BytesIO(shard.read(row["byte_size"]))
        with tarfile.open(fileobj=members, mode="r:") as tar:
            for member in tar:
                stream = tar.extractfile(member)
                digest.update(stream.read() if stream else b"")
    except (OSError, tarfile.TarError):
        return None
    return digest.hexdigest()
