"""The command `user_study`: a page of pairs to judge, and the answers read back."""
