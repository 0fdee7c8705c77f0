"""Makes this replica serve what is deployed: fetch, load, warm up, test, route, and unload."""
