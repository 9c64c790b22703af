"""Routes, a file a noun: parse, call storage, shape. No arithmetic, no SQL."""
