"""The outside world, one file a system: typed results, typed errors, time-outs and retries in one place."""
