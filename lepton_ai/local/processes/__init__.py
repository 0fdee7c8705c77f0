"""The stack as processes of this machine, started and watched by supervisord."""
