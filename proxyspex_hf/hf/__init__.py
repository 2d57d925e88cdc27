"""From a transformers pipeline to a value function: features, masking, tasks, batches."""
