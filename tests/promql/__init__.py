"""What PromQL is judged by: series, expressions, a real Prometheus, and what it answered."""
