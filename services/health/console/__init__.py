"""The web console: one page for people, and the JSON that it is drawn from."""
