"""The command `demo`: a page on which masks are painted."""
