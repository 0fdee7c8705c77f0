"""The way to the preprocess service: one stream to each replica, balanced item by item."""
