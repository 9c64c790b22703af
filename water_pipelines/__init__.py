"""An open data platform for water: late and corrected data flows exactly into everything derived from it."""
