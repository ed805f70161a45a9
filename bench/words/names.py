"""Names of the sets of word pairs. Importing this imports nothing."""

NAMES = ("MEN", "RW", "SimLex-999", "WordSim-353-sim", "WordSim-353-rel", "RG-65")
