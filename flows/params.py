"""Reading `params.yaml`: one section a stage, checked by that stage's own config class.

Stages read only their section, `seed` and `threads`, so this module knows no stage; `flows.profile` mirrors the whole
file.
"""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from worldmodel.errors import ParamsError

PARAMS_FILE = "params.yaml"

Config = TypeVar("Config", bound=BaseModel)


def read_params(path: Path) -> dict[str, Any]:
    """The mapping in a params file.

    Raises:
        ParamsError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file", expected="a params file", fix="restore it from git") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML", got=str(error), fix="correct the line named above") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path}: not a mapping", expected="section: {key: value}", got=type(raw).__name__)
    return raw


def check(config: type[Config], value: Any, where: str) -> Config:
    """`value` as a validated `config`; `where` names the file and section in errors.

    Raises:
        ParamsError: names every wrong key, what was expected there and what was found.
    """
    try:
        return config.model_validate(value)
    except ValidationError as error:
        raise _explain(config, error, where) from None


def _explain(config: type[BaseModel], error: ValidationError, where: str) -> ParamsError:
    lines, unknown = [], False
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(section)"
        unknown |= problem["type"] == "extra_forbidden"
        lines.append(f"{key}: {problem['msg']}, got {problem['input']!r:.80}")
    known = ", ".join(config.model_fields)
    return ParamsError(
        f"{where}: {len(lines)} wrong " + ("key" if len(lines) == 1 else "keys"),
        expected=f"the keys {known}" if unknown else "see below",
        got="; ".join(lines),
        fix=f"correct {where} (every key is described in the class {config.__module__}.{config.__qualname__})",
    )
