"""What a metric is when the data do not define it: never 0, never NaN."""

from dataclasses import dataclass

from zsad.errors import InputError


@dataclass(frozen=True)
class Undefined:
    """A metric that these data do not define.

    Attributes:
        rule: what must hold for the metric to exist.
        value: what was found instead.
        remedy: what to do about it.

    >>> print(Undefined("AUROC needs normal and anomalous samples", "4 and 0", "add the missing class"))
    n/a (AUROC needs normal and anomalous samples; got 4 and 0)
    """

    rule: str
    value: str
    remedy: str

    @property
    def reason(self) -> str:
        """Why there is no number."""
        return f"{self.rule}; got {self.value}"

    def __str__(self) -> str:
        return f"n/a ({self.reason})"


def defined(result: float | Undefined) -> float:
    """The number.

    Raises:
        InputError: there is none.
    """
    if isinstance(result, Undefined):
        raise InputError(result.rule, result.value, result.remedy)
    return result
