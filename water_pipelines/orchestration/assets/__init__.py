"""Assets, one file a noun. The composition root collects every asset of every module here; a test counts that none adds nothing."""
