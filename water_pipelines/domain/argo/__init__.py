"""Argo floats: casts as arrays, the real-time tests on all of them at once, and what is said of a dataset."""
