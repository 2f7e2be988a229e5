"""The command `sweep`: runs that differ in one key of their config, and a page of them."""
