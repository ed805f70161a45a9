"""Word similarity: pairs of words with human scores, and how the rows of a table agree with them."""
