"""Keeps answers and tensors of inputs that come again: in this process, and in a store that replicas share."""
