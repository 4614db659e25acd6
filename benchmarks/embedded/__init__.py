"""What is claimed of the embedded backbone, measured: ``python -m benchmarks.embedded COMMAND``.

    detectors   zero-shot detection on labelled data, beside controls
    words       what images that never trained are called, and whether damage is
    cost        size, time and memory

Each prints Markdown, and leaves it with the numbers as JSON in a folder.
"""
