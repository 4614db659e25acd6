"""The command line: one file a verb, each saying its options without importing what runs it."""
