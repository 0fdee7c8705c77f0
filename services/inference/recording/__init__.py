"""What was answered, told to the health service, so that users' feedback can be joined with it."""
