"""What processes know of one another: the shared state in etcd, and the endpoints in it."""
