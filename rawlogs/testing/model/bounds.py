"""The ranges of numbers that a scenario may name; they are checked where a scenario is read. Pure."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

MOST = 10**9
Amount = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=MOST, allow_inf_nan=False)]
SignedSeconds = Annotated[float, Field(strict=True, ge=-MOST, le=MOST, allow_inf_nan=False)]
Rate = Annotated[float, Field(strict=True, ge=1, le=MOST, allow_inf_nan=False)]
Status = Annotated[int, Field(strict=True, ge=100, le=599)]
CloseCode = Annotated[int, Field(strict=True, ge=0, le=65_535)]


class Checked:
    """Base of the dataclasses that a scenario can name: pydantic rejects unknown fields of them."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
