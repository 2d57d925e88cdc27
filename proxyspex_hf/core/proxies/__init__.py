"""Proxies: models of the model, one file each, behind the protocol in ``base``."""
