"""How an upload becomes an immutable version."""
