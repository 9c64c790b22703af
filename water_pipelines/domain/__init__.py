"""The science: arrays and frames in, arrays and frames out. No I/O, clock, logging, Dagster or SQL belongs here."""
