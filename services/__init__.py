"""The four services; each runs as `python -m services.NAME`."""

import os

# gRPC would run handlers in every process that a service forks, which may abort it before it becomes another program.
# It reads this when it is imported, and this file is imported before it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
