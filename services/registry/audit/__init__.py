"""The audit trail: who changed what, in a chain in which nothing can be changed unseen."""
