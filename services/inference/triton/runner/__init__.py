"""What runs inside Triton's Python backend. Nothing here may import Lepton: the stub has a plain interpreter."""
