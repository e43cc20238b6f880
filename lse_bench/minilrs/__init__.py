"""MiniLRS: a corpus of synthetic talking faces from a random seed, in the layouts of LRS2, LRS3 and LRW."""
