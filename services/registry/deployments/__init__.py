"""What is asked to be served: changed here, settled with rollouts, and published to etcd."""
