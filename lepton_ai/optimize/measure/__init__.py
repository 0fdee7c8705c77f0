"""What a candidate costs and what it is worth, on the machine that measures: speed, accuracy, size, memory."""
