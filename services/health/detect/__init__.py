"""What is out of the ordinary: detectors of streams of numbers, the judge of metrics, and drift of versions."""
