"""A config whose text is formatted once."""

from typing import ClassVar, Dict

from mmengine import Config


class SettledConfig(Config):  # type: ignore[misc]  # MMEngine has no types
    """A config as a training uses it: MMEngine asks for its text with every checkpoint and log.

    Each time YAPF formats all of it anew, which takes a good part of a second.
    """

    _texts: ClassVar[Dict[str, str]] = {}

    @classmethod
    def of(cls, config: Config) -> "SettledConfig":
        """Take over the content of a config."""
        return cls(config.to_dict(), filename=config.filename)

    @property
    def pretty_text(self) -> str:
        """The config as Python source; formatted anew only when its content has changed."""
        content = repr(self._cfg_dict)
        if content not in self._texts:
            self._texts[content] = super().pretty_text
        return self._texts[content]
