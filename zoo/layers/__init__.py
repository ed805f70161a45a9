"""Building blocks that several variants share; they know no axis."""
