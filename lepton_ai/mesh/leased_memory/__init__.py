"""Memory that one process writes and others of its user read: without a name, and gone when they are.

The owner leases ranges to its readers. A reader copies and then looks whether the lease has lasted until then, so the
owner may end any lease at any time: what was copied too late is found out and never taken for what it was to be.
"""
