"""Which of decoding, cropping and encoding limits the rate at which images are encoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from cocoop.images.decoding import Decoder


class Pace:
    """Seconds of the three steps so far.

    Those of encoding are the time in which this process does not wait for crops. On a GPU, it runs ahead of the device and waits
    for it at the end of a part, so they count the device's work and not only the launches.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder, self.start, self.waited = decoder, perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The time of this block belongs to decoding and cropping."""
        start = perf_counter()
        yield
        self.waited += perf_counter() - start

    @property
    def limit(self) -> str:
        """Decoding, cropping or encoding.

        Encoding overlaps with the other two, if they have processes of their own, which share these two. So the rate is that of
        the slower side; otherwise, it is mostly that of the longest step.
        """
        encoding = perf_counter() - self.start - self.waited
        return slowest(self.decoder.decoding, self.decoder.cropping, encoding, self.decoder.workers)


def slowest(decoding: float, cropping: float, encoding: float, workers: int) -> str:
    """The step that limits the rate, from the seconds of the steps; those of decoding and cropping are summed over workers."""
    longer = max(decoding, cropping)
    beside = (decoding + cropping) / workers if workers else longer
    if encoding >= beside:
        return "encoding"
    return "decoding" if decoding == longer else "cropping"
