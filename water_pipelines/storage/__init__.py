"""The only SQL and the only driver imports: the server, the database, and one file a noun."""
