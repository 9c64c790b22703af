"""What the `water` command does, a file a noun or verb; `cli.py` only reads arguments and prints what these give."""
