"""The path of a call, in plain values: which version, which rows, what answer."""
