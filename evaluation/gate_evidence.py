"""The gate's first question: whether the numbers may be judged at all.

Evidence about the candidate, its report and its data, then whether the champion's numbers may be held against it. What
was not established is raised as `Absent`. Standard library and pydantic only.
"""

from evaluation.base import fingerprint
from evaluation.comparison import Comparison, protocol_difference
from evaluation.evidence import NO_CHAMPION, Evidence, clips_digest
from evaluation.gate_config import Budget, GateLimits
from evaluation.gate_rules import Absent, Finding
from evaluation.report import Report


def code(evidence: Evidence, limits: GateLimits) -> Finding:
    """The code of the run is committed, or need not be."""
    if evidence.dirty is None:
        raise Absent("whether the code of the run is committed is not known")
    if not evidence.dirty:
        return Finding(True, "the code of the run is committed")
    allowed = "; the limits allow it" if limits.allow_dirty else ": commit, and run again"
    return Finding(limits.allow_dirty, f"the code holds uncommitted changes{allowed}")


def validation(evidence: Evidence) -> Finding:
    """The data are fit."""
    if evidence.validation is None:
        raise Absent("the data were not validated")
    return Finding(evidence.validation.verdict == "fit", evidence.validation.sentence)


def splits(evidence: Evidence) -> Finding:
    """No log was both trained on and measured."""
    found = evidence.splits
    if found is None or found.n_measured_logs == 0:
        raise Absent("whether training and measured logs are apart is not known")
    if found.shared:
        return Finding(False, f"logs both trained on and measured ({len(found.shared)}): {', '.join(found.shared[:3])}")
    return Finding(True, f"{found.n_training_logs} training logs and {found.n_measured_logs} measured logs are apart")


def manifests(evidence: Evidence, limits: GateLimits) -> Finding:
    """The outputs of the stages are what their manifests say."""
    found = evidence.manifests
    unchecked = [stage for stage in limits.stages if found is None or stage not in found.stages]
    if found is None or unchecked:
        raise Absent(f"the outputs of {', '.join(unchecked)} were not checked against their manifests")
    broken = "; ".join(f"{stage}: {problem}" for stage, problem in sorted(found.broken.items()))
    said = f"not what the manifests say: {broken}" if broken else "what the manifests say"
    return Finding(not broken, f"the outputs of {len(found.stages)} stages are {said}")


def model(report: Report | None, evidence: Evidence) -> Finding:
    """There is a report, and of the candidate."""
    if report is None:
        raise Absent("the candidate has no evaluation report")
    same = report.model.sha256 == evidence.candidate_sha256
    return Finding(same, f"the report measured {'the candidate' if same else 'another model'}")


def protocol(report: Report, limits: GateLimits) -> Finding:
    """The report is under the protocol that the limits are for."""
    asked, found = limits.preset, report.protocol.preset
    if found.name != asked.name:
        return Finding(False, f"the report is under the protocol {found.name}, and must be under {asked.name}")
    same = found.fingerprint == asked.fingerprint
    return Finding(same, f"the report's protocol is {'' if same else 'not '}the preset {asked.name} of this code")


def data(report: Report, evidence: Evidence) -> Finding:
    """The report's clips are those of the prepared data, and each of its values is of one of them."""
    if evidence.data is None:
        raise Absent("what the prepared data hold is not known")
    ours, theirs = sorted(source.name for source in report.data.sources), sorted(evidence.data.sources)
    if ours != theirs:
        return Finding(False, f"the report is of sources {', '.join(ours)}, and the data are of {', '.join(theirs)}")
    listed = [(c.clip_id, c.log_id, c.source, c.split, c.sha256) for c in report.clips]
    if not listed or clips_digest(listed) != evidence.data.clips_sha256:
        return Finding(False, "the report's clips are not those of the prepared data")
    strays = _stray_videos(report)
    if strays:
        return Finding(False, f"videos of clips that the report does not list ({len(strays)}): {', '.join(strays[:3])}")
    return Finding(True, f"the report's {len(listed)} clips are those of the prepared data")


def _stray_videos(report: Report) -> list[str]:
    """Videos, called `<clip>.<camera>.<first frame>`, of clips that the report's list lacks."""
    known = {(c.source, c.split, c.same_log, c.clip_id, c.log_id) for c in report.clips}
    return sorted(
        {
            video.sample_id
            for group in report.generation
            for method in group.methods
            for metric in method.metrics
            for video in metric.per_clip
            if (group.source, group.split, group.same_log, video.sample_id.rsplit(".", 2)[0], video.log_id) not in known
        }
    )


def weights(report: Report, limits: GateLimits) -> Finding:
    """Every learned network behind a number is the one that literature defines the metric on."""
    kinds = {extractor.id: extractor.kind for extractor in report.protocol.extractors}
    other = ", ".join(f"{name} is {kind}" for name, kind in kinds.items() if kind != "canonical")
    if other:
        return Finding(False, f"weights that are not canonical: {other}")
    ids = {limit.metric for limit in limits.limits} | {m.id for g in report.groups for m in g.metrics}
    ids |= {m.id for g in report.generation for method in g.methods for m in method.metrics}
    unnamed = sorted({i.partition("@")[2] for i in ids if "@" in i} - set(kinds))
    if unnamed:
        raise Absent(f"the report does not say which weights {', '.join(unnamed)} had")
    return Finding(True, f"canonical weights: {', '.join(kinds) or 'none were needed'}")


def budget(limit: Budget, evidence: Evidence, limits: GateLimits) -> Finding:
    """The model is as fast and small as it must be."""
    found = evidence.performance
    value = None if found is None else getattr(found, limit.measure)
    if found is None or value is None:
        raise Absent(f"{limit.measure} was not measured")
    if (found.model_sha256, found.protocol) != (evidence.candidate_sha256, limits.protocol):
        return Finding(False, f"{limit.measure} was measured of another model or under another protocol")
    sentence = f"{limit.measure} is {value:.4g}, and must be at most {limit.max:.4g} ({found.machine})"
    return Finding(value <= limit.max, sentence, limit.max, value)


def champion_report(evidence: Evidence, theirs: Report | None, comparison: Comparison | None) -> Finding:
    """It is known who serves, and there is a report of that model; or none serves."""
    if evidence.champion_sha256 is None:
        raise Absent("which champion serves is not known")
    if evidence.champion_sha256 == NO_CHAMPION:
        none = theirs is None and comparison is None
        return Finding(none, "no champion yet" if none else "no champion serves, and yet there are numbers of one")
    if theirs is None:
        raise Absent("the champion's evaluation report is missing, or of another schema version")
    same = theirs.model.sha256 == evidence.champion_sha256
    return Finding(same, f"the champion's report measured {'it' if same else 'another model'}")


def champion_comparable(report: Report, theirs: Report, comparison: Comparison | None) -> Finding:
    """The champion was measured on the same data under the same protocol, and the two were compared."""
    differing = protocol_difference(report.protocol, theirs.protocol)
    if differing is not None:
        return Finding(False, f"the champion was measured under another protocol ({differing}): evaluate it under this")
    if (report.data, report.clips) != (theirs.data, theirs.clips):
        return Finding(False, "the champion was measured on other data: evaluate it on this data first")
    if comparison is None:
        raise Absent("the candidate and the champion were not compared clip by clip")
    of = (comparison.challenger_report_sha256, comparison.champion_report_sha256)
    same = of == (fingerprint(report), fingerprint(theirs))
    return Finding(same, f"the comparison is of {'these two' if same else 'other'} reports, on the same data")
