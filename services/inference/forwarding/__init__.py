"""Calls for versions that another replica serves and this one does not: handed on to it, once."""
