"""The stack in containers: docker compose, started and watched."""
