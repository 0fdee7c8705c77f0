"""Networks whose layers are no longer those that their model's class builds: narrower ones, and layers in parts."""
