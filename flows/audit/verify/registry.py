"""The model registry: aliases and versions as the ledger has them, and the bytes that versions hold.

MLflow is a mirror here: the ledger is what counts. A registry that does not answer is a note, since nothing can be said
about it. MLflow is imported only when it is asked.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from flows.audit.verify.entries import Told
from flows.audit.verify.evidence import HeldVersion, Registry
from flows.audit.verify.tally import Tally, shown
from flows.ledger.bodies import ModelRegistered
from flows.ledger.standing import champions, open_intents, registered
from worldmodel.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowRegistry:
    """MLflow's registry at `$MLFLOW_TRACKING_URI`."""

    def __init__(self) -> None:
        """Raises RegistryError where MLflow does not answer."""
        from flows import registry
        from flows.tracking import connect

        with registry.asking():
            self._client: MlflowClient = connect()

    def champion(self, name: str) -> str | None:
        """The version under the alias `champion`."""
        from flows import registry

        with registry.asking():
            found = registry.champion(self._client, name)
        return None if found is None else found.version

    def versions(self, name: str) -> list[HeldVersion]:
        """Every version of a name; none where there is no such name."""
        from flows import registry

        with registry.asking():
            found = self._client.search_model_versions(f"name = '{name}'")
        return [HeldVersion(str(one.version), str(one.tags.get(registry.DIGEST_TAG, ""))) for one in found]

    def damage(self, name: str, version: str) -> str:
        """What is wrong with the bytes that a version holds; empty if they are what was registered."""
        from flows import registered as held
        from flows import registry

        try:
            with registry.asking(), TemporaryDirectory() as scratch:
                held.fetch(held.find(self._client, f"{name}/{version}"), Path(scratch) / "parts")
        except RegistryError as error:
            return f"{error.what}; expected {error.expected}, got {error.got}" if error.expected else str(error)
        except OSError as error:
            return f"its files cannot be read: {error}"
        return ""


def check_registry(registry: Registry, told: list[Told], tally: Tally) -> None:
    """Aliases and versions of every model that the ledger knows."""
    entries = [one.entry for one in told]
    recorded = registered(entries)
    for name in sorted({name for name, _ in recorded}):
        versions = {version: body for (of, version), body in recorded.items() if of == name}
        try:
            _check_alias(registry, name, told, tally)
            _check_versions(registry, name, versions, tally)
        except RegistryError as error:
            tally.note(f"registry: {name}", f"the registry does not answer: {error.got or error.what}"[:300])
            return


def _check_alias(registry: Registry, name: str, told: list[Told], tally: Tally) -> None:
    entries = [one.entry for one in told]
    standing, found = champions(entries).get(name), registry.champion(name)
    expected = None if standing is None else standing.version
    for _, intent in open_intents(entries, name):
        if found in (intent.version, intent.from_version):
            tally.note(f"registry: {name}@champion", f"a promotion to version {intent.version} is not settled yet")
            return
    tally.same("registry/alias", f"registry: {name}@champion", "the champion's version", expected, found)


def _check_versions(registry: Registry, name: str, recorded: dict[str, ModelRegistered], tally: Tally) -> None:
    held = {one.version: one.model_sha256 for one in registry.versions(name)}
    for version, body in recorded.items():
        where = f"registry: {name} version {version}"
        tally.count += 1
        if version not in held:
            tally.found("registry/missing", where, "the ledger has this version, the registry has not")
        elif tally.same("registry/tag", where, "digest of the bundle", body.model_sha256, held[version]):
            damage = registry.damage(name, version)
            if damage:
                tally.found("registry/changed", where, damage)
    for version in sorted(set(held) - set(recorded)):
        if held[version]:
            sentence = f"a version ({shown(held[version])}) that the ledger does not have"
            tally.found("registry/unrecorded", f"registry: {name} version {version}", sentence)
