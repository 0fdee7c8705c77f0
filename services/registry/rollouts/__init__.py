"""New versions brought into production step by step."""
