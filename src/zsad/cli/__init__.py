"""The command line: one module per command, each with its options; what a command runs is imported when it runs."""
