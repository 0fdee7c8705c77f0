"""The preprocess service: runs declarative pipelines on micro-batches."""
