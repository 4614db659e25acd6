"""Which file of another tool is of which image: by its path below the data set, or as much of its end as is there."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from zsad.errors import InputError
from zsad.evaluator.plan import PlannedImage, PlannedSet
from zsad.wording import pluralised

T = TypeVar("T")


def name_of(path: str) -> str:
    """What stands for an image: its path without suffix, with slashes.

    >>> name_of("bottle/test/good/000.png"), name_of("v1.2/000")
    ('bottle/test/good/000', 'v1.2/000')
    """
    return PurePosixPath(path.replace("\\", "/")).with_suffix("").as_posix()


def matched(what: str, planned: Sequence[PlannedSet], named: Mapping[str, T], where: Path) -> dict[Path, T]:
    """For each image of an evaluation, by its file, what has its name.

    A name is the path of the image, its path below the data set, the name of the data set and that path, or ends in
    that path, or is as much of its end as no other image of the same splits has.

    Args:
        what: is looked for, in one word.
        planned: the images.
        named: by name (:func:`name_of`).
        where: it was looked for.

    Raises:
        InputError: an image has none or several, or two have the same.
    """
    ending = defaultdict[str, list[str]](list)
    for name in named:
        for tail in _tails(name):
            ending[tail].append(name)
    images, found, missing = _tails_of_images(planned), dict[Path, str](), list[str]()
    for data_set in planned:
        for item in (item for each in data_set.classes for item in each.items):
            own = _name_in(named, ending, images, item, data_set.data.name)
            if own is None:
                missing.append(item.source)
            else:
                found[item.sample.image] = own
    if missing:
        value = f"{pluralised(len(missing), 'image')} of {len(missing) + len(found)} without, such as {missing[0]}"
        remedy = "name files as the images below the data set, or choose images by --classes"
        raise InputError(f"each image has its {what} in {where}", value, remedy)
    if len(set(found.values())) < len(found):
        twice = next(name for name, count in Counter(found.values()).items() if count > 1)
        raise InputError(f"a {what} is of one image", f"{twice} of several", "name files by more of the path")
    return {image: named[name] for image, name in found.items()}


def _name_in(
    named: Mapping[str, object],
    ending: Mapping[str, Sequence[str]],
    images: Mapping[str, int],
    item: PlannedImage,
    data_set: str,
) -> str | None:
    own = name_of(item.source)
    for name in (name_of(item.sample.image.as_posix()), f"{data_set}/{own}", own):
        if name in named:
            return name
    if len(longer := ending.get(own, ())) == 1:
        return longer[0]
    return next((tail for tail in _tails(own) if tail in named and images[tail] == 1), None)


def _tails_of_images(planned: Sequence[PlannedSet]) -> Counter[str]:
    """How many images of the data sets, in the splits that are evaluated, have a path that ends so."""
    splits = {item.sample.split for data_set in planned for each in data_set.classes for item in each.items}
    return Counter(
        tail
        for data_set in planned
        for sample in data_set.data.samples
        if sample.split in splits
        for tail in _tails(name_of(sample.source(data_set.data.root)))
    )


def _tails(name: str) -> Iterator[str]:
    """The name, and what is left of it without its first folders.

    >>> list(_tails("a/b/c"))
    ['a/b/c', 'b/c', 'c']
    """
    parts = name.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))
