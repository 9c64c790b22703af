"""The proof that late and corrected data goes exactly into everything derived from it.

`python -m water_pipelines_tests.exactness --sequences 200 [--seed N]` applies random sequences of acts through the platform's own
functions, with four loaders and two settlers at once, and holds the outcome against a clean rebuild and a model of what is affected.
"""
