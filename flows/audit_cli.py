"""The command lines `worldmodel audit` and `worldmodel data`. Heavy imports stay inside the commands."""

from pathlib import Path
from typing import Annotated

import typer

from flows.answers import At, Json, finish

audit = typer.Typer(help="From any model to its data and back, and whether anything was changed.", no_args_is_help=True)
data = typer.Typer(help="Logs and clips that may not be used any more.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="`NAME`, `NAME/3`, `NAME@champion`, a digest or a run.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the ledger.")]
Clip = Annotated[bool, typer.Option("--clip", help="ID is a clip, not a log.")]


@audit.command()
def champion(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="By default every model.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Every champion so far.")] = False,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Who serves, since when, who let it through, and on which evidence."""
    from flows.commands.audit import champion as answer

    finish(lambda: answer(name, history=history, at=at, as_json=as_json), as_json)


@audit.command()
def trace(
    model: Model,
    logs: Annotated[bool, typer.Option("--logs", help="Name every log.")] = False,
    at: At = None,
    as_json: Json = False,
) -> None:
    """What made a model: data, code, params, parent models, environment, runs, approvals."""
    from flows.commands.audit import trace as answer

    finish(lambda: answer(model, logs=logs, at=at, as_json=as_json), as_json)


@audit.command()
def impact(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A log, clip, shard, dataset, or a digest.")],
    at: At = None,
    as_json: Json = False,
) -> None:
    """Which models something has touched, directly or through teachers and reconstructions."""
    from flows.commands.audit import impact as answer

    finish(lambda: answer(what, at=at, as_json=as_json), as_json)


@audit.command()
def disjoint(model: Model, at: At = None, as_json: Json = False) -> None:
    """Whether a model was measured on logs that it was not trained on. Exit code 3 if not."""
    from flows.commands.audit import disjoint as answer

    finish(lambda: answer(model, at=at, as_json=as_json), as_json)


@audit.command()
def validations(
    what: Annotated[str, typer.Argument(metavar="DATASET", help="A source, prepared data, a run or a model.")],
    at: At = None,
    as_json: Json = False,
) -> None:
    """Which checks the data passed, and what was done about those that failed."""
    from flows.commands.audit import validations as answer

    finish(lambda: answer(what, at=at, as_json=as_json), as_json)


@audit.command()
def diff(a: Model, b: Model, at: At = None, as_json: Json = False) -> None:
    """What differs between two models: data, params, code, environment, metrics, decisions."""
    from flows.commands.audit import diff as answer

    finish(lambda: answer(a, b, at=at, as_json=as_json), as_json)


@audit.command()
def rejected(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="By default every model.")] = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Every candidate that the gate refused, and how its limits have changed."""
    from flows.commands.audit import rejected as answer

    finish(lambda: answer(name, at=at, as_json=as_json), as_json)


@audit.command()
def tombstones(at: At = None, as_json: Json = False) -> None:
    """What retention has deleted, when, and under which rule."""
    from flows.commands.audit import tombstones as answer

    finish(lambda: answer(at=at, as_json=as_json), as_json)


@audit.command()
def rebuild(
    model: Model,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the workspace for a look.")] = False,
    as_json: Json = False,
) -> None:
    """Make a model again from its records on this machine, and compare. Exit code 3 if it differs measurably."""
    from flows.commands.rebuild import rebuild_model

    finish(lambda: rebuild_model(model, until, keep=keep, as_json=as_json), as_json)


@audit.command()
def verify(
    pack: Annotated[
        Path | None, typer.Argument(metavar="[PACK]", help="An evidence pack; by default this checkout and its state.")
    ] = None,
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="A public key to trust as root; by default your own."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Not the bytes of outputs, and not the registry.")] = False,
    as_json: Json = False,
) -> None:
    """Whether signatures, chain and digests hold. Exit code 3 with findings."""
    from flows.commands.verify import verify_all

    finish(lambda: verify_all(pack, keys or (), quick=quick, as_json=as_json), as_json)


@audit.command()
def export(
    model: Model,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="By default a name of its own, here.")] = None,
    with_weights: Annotated[bool, typer.Option("--with-weights", help="Put the weights in.")] = False,
    as_json: Json = False,
) -> None:
    """Write all evidence of a model into one archive that anybody can verify offline."""
    from flows.commands.pack import export_model

    finish(lambda: export_model(model, out, with_weights=with_weights, as_json=as_json), as_json)


@audit.command()
def card(model: Model, at: At = None, as_json: Json = False) -> None:
    """Print the card of a model, made from its verified records."""
    from flows.commands.pack import print_card

    finish(lambda: print_card(model, at=at, as_json=as_json), as_json)


@audit.command()
def ledger(
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="Only entries of this kind; repeatable.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest last.")] = 20,
    at: At = None,
    as_json: Json = False,
) -> None:
    """The entries of the ledger."""
    from flows.commands.keys import list_entries

    finish(lambda: list_entries(kinds or (), limit, at, as_json=as_json), as_json)


@audit.command()
def reconcile(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="By default every model.")] = None,
    as_json: Json = False,
) -> None:
    """Settle promotions that were cut short, and notice aliases that were moved by hand."""
    from flows.commands.promotion import reconcile as settle

    finish(lambda: settle(name, as_json=as_json), as_json)


@audit.command()
def index(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew from the records.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the lineage index up to date with the records, or make it anew."""
    from flows.commands.index import index as bring_up_to_date

    finish(lambda: bring_up_to_date(rebuild, as_json=as_json), as_json)


@audit.command()
def keygen(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="By default your own signing key.")] = None,
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key; never replaces one."""
    from flows.commands.keys import keygen as make

    finish(lambda: make(out, as_json=as_json), as_json)


@audit.command()
def keys(at: At = None, as_json: Json = False) -> None:
    """Which keys the ledger trusts, whose they are, and for what."""
    from flows.commands.keys import list_keys

    finish(lambda: list_keys(at, as_json=as_json), as_json)


@audit.command()
def trust(
    public: Annotated[Path, typer.Argument(metavar="FILE", help="The public half, as PEM.")],
    owner: Annotated[str, typer.Option(help="Whose it is.")],
    roles: Annotated[list[str], typer.Option("--role", help="runner, approver or admin; repeatable.")],
    as_json: Json = False,
) -> None:
    """Trust a key from now on; an admin's key signs."""
    from flows.commands.keys import trust as trust_key

    finish(lambda: trust_key(public, owner, roles, as_json=as_json), as_json)


@audit.command()
def revoke(
    keyid: Annotated[str, typer.Argument(metavar="KEYID", help="Or the start of it.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Trust a key no more from now on."""
    from flows.commands.keys import revoke as revoke_key

    finish(lambda: revoke_key(keyid, reason, as_json=as_json), as_json)


@audit.command()
def backup(file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: Json = False) -> None:
    """Write the whole ledger into one file."""
    from flows.commands.keys import backup_ledger

    finish(lambda: backup_ledger(file, as_json=as_json), as_json)


@audit.command()
def restore(file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: Json = False) -> None:
    """Restore a backup into an empty ledger, and say which anchored entries it lacks."""
    from flows.commands.keys import restore_ledger

    finish(lambda: restore_ledger(file, as_json=as_json), as_json)


@audit.command()
def anchor(as_json: Json = False) -> None:
    """Sign the ledger's head and put it on git."""
    from flows.commands.keys import anchor_head

    finish(lambda: anchor_head(as_json=as_json), as_json)


@data.command()
def recall(
    id: Annotated[str, typer.Argument(metavar="ID", help="A log, or with --clip a clip.")],
    reason: Reason,
    clip: Clip = False,
    unknown: Annotated[bool, typer.Option("--unknown", help="Even if no record knows this id.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Take a log or clip out of use: the next run leaves it out, and models that saw it are named."""
    from flows.commands.data import recall_data

    finish(lambda: recall_data(id, reason, clip=clip, unknown=unknown, yes=yes, as_json=as_json), as_json)


@data.command()
def reinstate(
    id: Annotated[str, typer.Argument(metavar="ID")], reason: Reason, clip: Clip = False, as_json: Json = False
) -> None:
    """Take a recall back."""
    from flows.commands.data import reinstate_data

    finish(lambda: reinstate_data(id, reason, clip=clip, as_json=as_json), as_json)


@data.command()
def recalls(at: At = None, as_json: Json = False) -> None:
    """What is recalled, why, and since when."""
    from flows.commands.data import list_recalls

    finish(lambda: list_recalls(at, as_json=as_json), as_json)
