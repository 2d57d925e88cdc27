"""Explaining the rows of a data set: streamed in, pushed as shards, resumed where it stopped."""
