"""Large layers in parts: low rank for dense ones, Tucker-2 and depthwise separation for convolutions."""
