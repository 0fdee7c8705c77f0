"""What a process does about its memory when it has started."""
