"""Which version a call goes to."""
