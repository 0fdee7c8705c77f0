"""Tests of what is counted of inputs."""
