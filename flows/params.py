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
    problems = error.errors()
    got = [f"{_dotted(p['loc'])}: {p['msg']}, got {p['input']!r:.80}" for p in problems]
    owners = {_owner(config, p["loc"]): _dotted(p["loc"][:-1]) for p in problems}
    known = [f"{path} has {', '.join(_keys(owner))}" for owner, path in owners.items()]
    return ParamsError(
        f"{where}: {len(got)} wrong " + ("key" if len(got) == 1 else "keys"),
        expected="; ".join(known),
        got="; ".join(got),
        fix="correct it; keys are described in " + ", ".join(f"{o.__module__}.{o.__qualname__}" for o in owners),
    )


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the section"


def _keys(config: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in config.model_fields.items()]


def _owner(config: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The config class, at any depth, that the key at `location` belongs to."""
    for part in location[:-1]:
        fields = {field.alias or name: field.annotation for name, field in config.model_fields.items()}
        annotation = fields.get(str(part))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            config = annotation
    return config
