"""How the servers are spoken to: one file per dialect, the protocols in base.py."""
