"""Words for people."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "mask"), counted(1200, "mask"), counted(2, "class", "classes")
    ('1 mask', '1,200 masks', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
