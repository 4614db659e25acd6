"""The type checker that tests run under: an int is a float, as every static checker has it (PEP 484)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
