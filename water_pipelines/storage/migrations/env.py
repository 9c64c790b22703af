"""Runs the migrations on the connection that `storage/migrate.py` hands over; knows no settings."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None, version_table_schema="public")
with context.begin_transaction():
    context.run_migrations()
