"""The command line: ``main`` has the commands, the others what they do."""
