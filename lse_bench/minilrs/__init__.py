"""MiniLRS: a seeded corpus of made-up talking faces in the layouts of LRS2, LRS3 and LRW."""
