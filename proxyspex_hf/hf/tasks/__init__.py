"""One task a file: a pipeline and an input -> a set function; ``table`` lists them."""
