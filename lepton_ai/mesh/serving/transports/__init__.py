"""How calls come in from the network: grpc.aio, or HTTP/2 of Envoy with Python inside it (pyvoy)."""
