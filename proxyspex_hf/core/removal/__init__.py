"""Removal sets (paper, section 4.2): exact by enumeration or an integer program, else by search."""
