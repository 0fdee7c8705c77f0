"""Log records of all processes: kept within bounds, grouped by template, and judged."""
