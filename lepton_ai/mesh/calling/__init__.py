"""Calls to a service with many replicas: which replica, when to retry, when to leave one alone."""
