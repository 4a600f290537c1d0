"""The lineage index: nodes and edges by number, which runs are in it, and whose clips are."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, primary_key=key, autoincrement=False, nullable=False)


def upgrade() -> None:
    """Makes the tables; both indexes of the edges hold all that a walk reads."""
    op.create_table(
        "lineage_nodes",
        _number("id", key=True),
        sa.Column("kind", _KEY, nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("attrs", _KEY, nullable=False),
    )
    op.create_index("lineage_nodes_key", "lineage_nodes", ["key", "kind"], unique=True)
    op.create_table("lineage_roles", _number("id", key=True), sa.Column("name", _KEY, nullable=False, unique=True))
    op.create_table(
        "lineage_edges",
        _number("src", key=True),
        _number("scope", key=True),
        _number("dst", key=True),
        _number("role", key=True),
        _number("since"),
        _number("run"),
        sqlite_with_rowid=False,
    )
    op.create_index("lineage_edges_back", "lineage_edges", ["dst", "scope", "src", "role", "since", "run"])
    op.create_table(
        "lineage_runs",
        _number("run", key=True),
        sa.Column("run_id", _KEY, nullable=False, unique=True),
        _number("since"),
        sa.Column("statement_sha256", _KEY, nullable=False),
    )
    op.create_table("lineage_prepared", _number("output", key=True), _number("since"), _number("run"))


def downgrade() -> None:
    """There is no way back from the first version."""
    raise NotImplementedError
