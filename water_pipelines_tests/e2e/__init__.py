"""A whole platform, started as users start it, seen from outside."""
