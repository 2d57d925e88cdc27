"""What the paper compares with: forests, networks and SPEX; functions to test proxies with."""
