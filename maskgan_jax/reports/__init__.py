"""Pages for people to read: the report of a run, and what pages share."""
