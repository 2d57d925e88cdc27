"""How the servers are spoken to: one file a dialect, the protocols in base.py."""
