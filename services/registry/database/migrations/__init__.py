"""How the database came to be what `schema.py` says: one revision a change, in `versions/`, run by Alembic.

A change of the schema is a new file there whose `down_revision` is the newest one, named for what it adds.
Revisions never change once they are on main. There is no way down: a backup is.
"""
