"""Everything that knows NVIDIA Triton: its calls, errors, shared memory, model files and health."""
