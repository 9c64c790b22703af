"""Alembic migrations, linear; `storage/migrate.py` runs them. A new one is `versions/NNNN_noun.py`, plain SQL, never edited once landed."""
