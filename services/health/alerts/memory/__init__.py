"""What is remembered of alerts: records, the file they are in, and what replicas share of them."""
