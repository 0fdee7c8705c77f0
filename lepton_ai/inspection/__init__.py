"""Looks into model files without running what they bring along, and tries them: what a package says must be true.

The registry does this in a process of its own (`services/registry/inspection`), `lepton check` on the author's machine.
"""
