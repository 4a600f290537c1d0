"""Reading the YAML that DVC writes.

DVC writes YAML 1.2, in which `5e-05` is a number. PyYAML reads 1.1, in which it is a text: hence one more rule.
"""

import re
from typing import Any

import yaml


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Safe; a lock file of a thousand lines takes PyYAML's own parser a second."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(text: str | bytes) -> Any:
    """The value of a document.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader with one more rule
