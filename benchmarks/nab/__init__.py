"""The Numenta Anomaly Benchmark: how well the detector that judges metrics finds what people have labelled."""
