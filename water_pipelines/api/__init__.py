"""A thin, read-only FastAPI service over `storage`. Routes parse, call `storage` and shape; they compute nothing."""
