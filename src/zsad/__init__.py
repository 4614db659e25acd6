"""Zero-shot visual anomaly detection with vision-language models.

>>> import zsad
>>> detector = zsad.load("clip")                              # doctest: +SKIP
>>> detector.predict("part.jpg", class_name="metal nut")      # doctest: +SKIP

Importing this package is quick: PyTorch is loaded on first use of a name that needs it.
"""
