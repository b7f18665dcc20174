"""The images that `colorgan evaluate --data` names: a data source, or the validation images of a run."""

from collections.abc import Mapping
from typing import NamedTuple

from etils import epath

from colorgan.data import folder, held_out, sources
from colorgan.data.source import Source
from colorgan.errors import UserError
from colorgan.run import workdir as workdir_lib

OF_RUN = "validation"
HELP = f"the images: one of {', '.join(sources.KINDS)}; or {OF_RUN}, those that the run validates on"


class ImageSet(NamedTuple):
    """A set of images that is not open yet.

    Attributes:
      name: for messages.
      data: string of a data source.
      size: of synthetic images, in pixels; None for that of the network.
      held_out: names, by index, of the images in `data` that a run holds out, or None.
      is_split: whether the set is what a run holds out.
    """

    name: str
    data: str
    size: int | None = None
    held_out: Mapping[int, str] | None = None
    is_split: bool = False

    def open(self, size: int) -> Source:
        """Opens the images; synthetic ones have `size` pixels. Raises UserError."""
        if not self.is_split:
            return sources.open_source(self.data, size)
        names = self.held_out
        # Runs that were trained by earlier versions may hold out results of `colorgan colorize`.
        with_results = names is not None and any(folder.RESULT_ENDING in name for name in names.values())
        source = sources.open_source(self.data, self.size or size, sources.TRAIN_SEED, with_results)
        indices = held_out.find_again(source, names) if names else held_out.choose(source)
        return held_out.split(source, indices)[1]


def find(data: str, workdir: epath.Path | None) -> ImageSet:
    """The images that `data` names, without opening them.

    Args:
      data: string of a data source, or `OF_RUN`.
      workdir: the run's folder, if there is one.

    Raises:
      UserError: the string is wrong, or there is no run.
    """
    if data != OF_RUN:
        sources.check_name(data)
        return ImageSet(data, data)
    if workdir is None:
        raise UserError(f"--data={OF_RUN} stands for the validation images of a run, and needs --workdir")
    config = workdir_lib.read_config(workdir)["data"]
    if config["validation"]:
        return ImageSet(config["validation"], config["validation"])
    names = workdir_lib.read_held_out(workdir)
    return ImageSet(
        f"the validation split of {config['train']}", config["train"], config["load_size"], names, is_split=True
    )
