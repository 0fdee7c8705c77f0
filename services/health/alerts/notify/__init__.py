"""How people are told of alerts: what is written, to whom it goes, and that it arrives."""
