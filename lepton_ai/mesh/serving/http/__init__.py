"""HTTP beside gRPC in one process: pages for people."""
