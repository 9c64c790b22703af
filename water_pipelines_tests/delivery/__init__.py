"""The proof of delivery: under a steady stream of messages everything is killed in turn, and every message is stored exactly once."""
