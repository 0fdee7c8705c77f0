"""The Open Inference Protocol on the wire, for the clients of Triton, KServe and MLServer."""
