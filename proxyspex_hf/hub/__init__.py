"""Explanations on the Hugging Face Hub: records as Parquet rows, pushed and pulled."""
