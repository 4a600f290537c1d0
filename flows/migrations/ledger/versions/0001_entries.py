"""The ledger: its id, and its entries, which can be added to and not changed."""

import uuid

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSAL = "entries of the ledger are never changed or deleted"
_SQLITE = [
    *(
        f"CREATE TRIGGER ledger_{table}_no_{action} BEFORE {action.upper()} ON ledger_{table} {condition}"
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for table, condition in (
            ("entries", ""),
            ("identity", "WHEN EXISTS (SELECT 1 FROM ledger_entries) "),
        )
        for action in ("update", "delete")
    ),
    # INSERT OR REPLACE deletes without a word to the triggers above
    "CREATE TRIGGER ledger_entries_in_order BEFORE INSERT ON ledger_entries "
    "WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM ledger_entries) "
    "BEGIN SELECT RAISE(ABORT, 'entries of the ledger are only added at its end'); END",
]
_POSTGRESQL = [
    "CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
    "CREATE FUNCTION ledger_refuse_if_used() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    f"IF EXISTS (SELECT 1 FROM ledger_entries) THEN RAISE EXCEPTION '{_REFUSAL}'; END IF; "
    "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER ledger_entries_no_change BEFORE UPDATE OR DELETE ON ledger_entries "
    "FOR EACH ROW EXECUTE FUNCTION ledger_refuse()",
    "CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
    "CREATE TRIGGER ledger_identity_no_change BEFORE UPDATE OR DELETE ON ledger_identity "
    "FOR EACH ROW EXECUTE FUNCTION ledger_refuse_if_used()",
]


def upgrade() -> None:
    """Makes the tables, an id, and the triggers that guard against accidents."""
    op.create_table(
        "ledger_entries",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("body_sha256", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
    )
    op.create_index("ledger_entries_kind", "ledger_entries", ["kind", "sequence"])
    identity = op.create_table("ledger_identity", sa.Column("id", sa.Text, primary_key=True))
    op.bulk_insert(identity, [{"id": str(uuid.uuid4())}])
    for statement in {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back from the first version."""
    raise NotImplementedError
