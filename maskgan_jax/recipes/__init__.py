"""What the configs of one paper share."""
