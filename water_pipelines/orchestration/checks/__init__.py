"""Asset checks, one file a group of assets. They show what `core.check_result` holds by day; they judge nothing themselves."""
