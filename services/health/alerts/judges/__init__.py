"""The first judges: the observer's conditions, notifications that do not arrive, what users say."""
