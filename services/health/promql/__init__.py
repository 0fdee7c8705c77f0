"""PromQL over our own series, and the rules that are written in it."""
