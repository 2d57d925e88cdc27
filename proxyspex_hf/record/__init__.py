"""One explanation as plain data: its parts, its JSON, and how untrusted JSON is read."""
