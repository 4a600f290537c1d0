"""Who has to agree before a model is promoted: the section `promotion` of params.yaml."""

from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from flows.params import check
from worldmodel.errors import ParamsError

SECTION = "promotion"


class PromotionPolicy(BaseModel):
    """What a promotion needs beside the gate's verdict.

    Attributes:
        approvals: how many people must approve. With 0 a run promotes what its gate lets through; otherwise the model
            waits for `worldmodel approve` and `worldmodel promote`.
        separate_duties: whoever ran what trained the model may not approve it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    approvals: int = Field(default=0, ge=0)
    separate_duties: bool = True

    @property
    def asked(self) -> str:
        """How many approvals, in words."""
        return "1 approval" if self.approvals == 1 else f"{self.approvals or 'no'} approvals"


def read_policy(params: str, where: str) -> PromotionPolicy:
    """The policy in the text of a params file, the defaults where it has none; `where` names it in errors.

    Raises:
        ParamsError: it is no params file, or the section is wrong.
    """
    try:
        raw: Any = yaml.safe_load(params)
    except yaml.YAMLError as error:
        raise ParamsError(f"{where}: not valid YAML", got=str(error)) from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{where}: not a mapping", expected="section: {key: value}", got=type(raw).__name__)
    return check(PromotionPolicy, raw.get(SECTION, {}), f"{where}: {SECTION}")
