"""The proof that no crash loses or doubles anything: kill -9 at every point at which the platform writes.

`python -m water_pipelines_tests.crashes [--all]` carries out operations in a process that kills itself, or the database server, just
before or after its k-th write, starts again what died, retries as the sensors would, and compares with what was never interrupted.
"""
