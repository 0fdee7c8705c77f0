"""Measurements of all processes: scraped, kept, and asked for in PromQL."""
