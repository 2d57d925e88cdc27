"""Models that an inference server holds, asked over HTTP behind the same seam as pipelines."""
