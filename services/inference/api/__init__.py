"""lepton.v1 on the wire: reads requests, writes responses, and serves the stream."""
