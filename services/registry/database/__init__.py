"""The registry's database: the seam to it, its tables, and the store on SQLAlchemy."""
