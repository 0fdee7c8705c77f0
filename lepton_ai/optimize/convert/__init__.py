"""A package's model in other formats, each held against the original on golden and random inputs."""
