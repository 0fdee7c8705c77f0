"""Calls by way of Envoy, which speaks HTTP/2 and runs this service inside itself (pyvoy's ASGI).

`exec` turns the process of a service into Envoy, `embedded` runs the service's main coroutine in there, and
`transport` answers its calls: one task for each, no thread.
"""
