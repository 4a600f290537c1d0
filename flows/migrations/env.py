"""What alembic runs to bring a store up to date; `flows.stores` gives it the connection and opens the transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,
)
context.run_migrations()
