"""Tables that apply a component to the parameters that a pattern matches: `[[optimizer]]` and `[[quantizer]]`.

`match` is compared with a parameter's role first and its full name second, both by shell pattern (`matrix`, `*`,
`blocks.0.*`); the first table that matches wins. Shapes play no part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from nanochat_framework.config.component import StrictModel
from nanochat_framework.config.selection import COMPONENT_MARK, Select, Selected, select
from nanochat_framework.model import roles


class ComponentTable(BaseModel):
    """A component with what is said about its use; written as one flat table."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    kind: ClassVar[str]

    component: Any = Field(default=None, exclude=True, description="The component; its keys stand in this table.")

    @model_validator(mode="wrap")
    @classmethod
    def _split(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Part the table's own keys from the component's; both report errors under the table's path."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("rule_table", "{message}", {"message": cls._expected(value)})
        own = {key: item for key, item in value.items() if key in cls.model_fields and key != "component"}
        rest = {key: item for key, item in value.items() if key not in own}
        problems: list[InitErrorDetails] = []
        component: Any = None
        try:
            component = select(cls.kind, rest, info)
        except (ValidationError, PydanticCustomError) as error:
            problems += _details(error, value)
        try:
            table = handler({**own, "component": component})
        except ValidationError as error:
            problems += _details(error, value)
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return table

    @classmethod
    def _expected(cls, value: Any) -> str:
        """What to write instead of a value that is no table; of a string it takes the name."""
        name = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else '"..."'
        required = [f'{key} = "..."' for key, field in cls.model_fields.items() if field.is_required()]
        return f"expected a table, as in {{ {', '.join([*required, f'name = {name}'])} }}"

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        made = handler(schema)
        handler.resolve_ref_schema(made)[COMPONENT_MARK] = cls.kind
        return made

    @model_serializer(mode="wrap")
    def _join(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own = {key: item for key, item in handler(self).items() if item not in (None, {})}
        return {**own, **self.component.to_dict()}


class Rule(ComponentTable):
    """A pattern and the component that is applied to what it matches."""

    match: str = Field(description="Shell pattern over parameter roles, or over full parameter names.")

    def matches(self, name: str, role: str) -> bool:
        """Whether this rule takes the parameter."""
        return fnmatchcase(role, self.match) or fnmatchcase(name, self.match)


class QuantizerWarmup(StrictModel):
    """Rounding that sets in gradually: a share λ of it, w + λ (q(w) - w), for weights and activations alike.

    λ depends on the step alone, so a resumed run goes on exactly.
    """

    start_step: int = Field(default=0, ge=0, le=10**9, description="Last step without any rounding.")
    steps: int = Field(gt=0, le=10**9, description="Steps over which λ grows from 0 to 1, in equal parts.")

    def strength(self, step: int) -> float:
        """λ at update number `step`, counted from 1."""
        return min(max((step - self.start_step) / self.steps, 0.0), 1.0)


class QuantizerRule(Rule):
    """`[[quantizer]]`: which weights are quantised in training, and how."""

    kind: ClassVar[str] = "quantizer"

    warmup: QuantizerWarmup | None = Field(
        default=None, description="Round gradually, for training that begins with float weights: { start_step, steps }."
    )


class OptimizerRule(Rule):
    """`[[optimizer]]`: which parameters an update rule takes, and schedules that differ from `[schedule]`."""

    kind: ClassVar[str] = "optimizer"

    schedule: Annotated[Selected[Any], Select("schedule")] | None = Field(
        default=None, description="Schedule of this group's learning rate; [schedule] when absent."
    )
    schedules: dict[str, Annotated[Selected[Any], Select("schedule")]] = Field(
        default_factory=dict, description="Schedules of other hyperparameters of this group, by name."
    )


class TokenFilterTable(ComponentTable):
    """`[token_filter]`: which tokens are learned from, and how far down the others are left out."""

    kind: ClassVar[str] = "token_filter"

    skip_layers: int = Field(
        default=0,
        ge=0,
        description="Layers, from the embedding on, whose linear maps leave dropped tokens out of their backward pass: "
        "faster, and no longer the exact gradient, since kept tokens look at dropped ones. 0: exact.",
    )


def _details(error: ValidationError | PydanticCustomError, value: Any) -> list[InitErrorDetails]:
    """What is wrong, in the form that makes a new ValidationError; types and contexts stay."""
    if isinstance(error, PydanticCustomError):
        return [InitErrorDetails(type=error, loc=(), input=value)]
    return [
        InitErrorDetails(
            type=PydanticCustomError(item["type"], "{message}", {**item.get("ctx", {}), "message": item["msg"]}),
            loc=item["loc"],
            input=item["input"],
        )
        for item in error.errors(include_url=False)
    ]


def quantizer_match(rules: tuple[QuantizerRule, ...], name: str, role: str) -> int | None:
    """Index of the `[[quantizer]]` table that rounds a weight, None if none does. Routers are never rounded."""
    return None if role == roles.ROUTER else first_match(rules, name, role)


def first_match(rules: tuple[Any, ...], name: str, role: str) -> int | None:
    """Index of the first rule that takes the parameter, None if none does."""
    return next((index for index, rule in enumerate(rules) if rule.matches(name, role)), None)
