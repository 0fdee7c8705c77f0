"""The programs that the stack runs: etcd and Triton, where they are found and how they are started."""
