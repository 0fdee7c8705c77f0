"""A gRPC server with everything a service of ours has: health, reflection, errors, deadlines, drain."""
