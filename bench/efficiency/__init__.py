"""What a model costs: time, memory, bytes and energy, on the machine that measures it."""
