"""What the node asks of a frame that is made of buckets: take each as it comes, be looked at, become one file.

Its errors are the renderer's.
"""

from pathlib import Path
from typing import Protocol

from mesh.wire.grids import Region, SampleRange


class Assembly(Protocol):
    """Be one frame that grows bucket by bucket."""

    async def paste(self, bucket: Path, *, held: Region, taken: Region) -> None:
        """Take the pixels of `taken` from a file that holds those of `held`, in pixels of the frame.

        Raises OutputTruncated, OutputWrong: the frame goes on without the bucket; RendererCrashed: it does not. A wrong
        one may be said to be only unlike the others.
        """
        ...

    async def add(self, bucket: Path, samples: SampleRange) -> None:
        """Take a file that holds these samples of each pixel of the region; a frame is either pasted or added up.

        Raises what `paste` does, OutputWrong also where some of these samples are there already.
        """
        ...

    async def preview(self, picture: Path) -> None:
        """Write what is there as a small PNG, for eyes alone. Raises OutputUnwritable, OutputWrong, RendererCrashed."""
        ...

    async def write(self, picture: Path) -> None:
        """Write all passes as one file.

        Raises OutputUnwritable, OutputWrong where nothing was pasted, or some of the samples are not there.
        """
        ...
