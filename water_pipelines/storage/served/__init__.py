"""What the API reads: a file a noun, each reading within one `Reading`, as of its change. Nothing here writes or computes."""
