"""What a plugin talks to while it registers: one method a kind, references kept as strings."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

from nanochat_framework.plugins.component import Component
from nanochat_framework.plugins.kinds import KINDS

_NAME = re.compile(r"[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)?\Z")
_REFERENCE = re.compile(r"\.{0,1}[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")


class Registrar:
    """Collects the components of one plugin; the loader commits them together or not at all.

    Every method takes the component's name (`name`, or `vendor/name` for a third party), `config` and `factory` as
    `module:object` references (a leading dot means: inside the plugin's own package) and a one-line `summary`.
    Raises ValueError for a malformed name or reference.
    """

    def __init__(self, plugin: str, package: str, distribution: str, version: str) -> None:
        self._plugin, self._package = plugin, package
        self._distribution, self._version = distribution, version
        self.components: list[Component] = []

    def register(
        self,
        kind: str,
        name: str,
        *,
        config: str,
        factory: str,
        summary: str,
        schema_version: int = 1,
        **traits: Any,
    ) -> None:
        """Register a component of any kind; the named methods below are this one with its kind filled in."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; kinds are {', '.join(KINDS)}")
        if not _NAME.match(name):
            raise ValueError(f"{kind} name {name!r} must be lower_case letters, digits and _, or vendor/name")
        if any(taken.kind == kind and taken.name == name for taken in self.components):
            raise ValueError(f"{kind} {name!r} is registered twice by this plugin")
        self.components.append(
            Component(
                kind=kind,
                name=name,
                config=self._absolute(config),
                factory=self._absolute(factory),
                summary=summary,
                plugin=self._plugin,
                distribution=self._distribution,
                version=self._version,
                schema_version=schema_version,
                traits=MappingProxyType(dict(traits)),
            )
        )

    def _absolute(self, reference: str) -> str:
        if not _REFERENCE.match(reference):
            raise ValueError(f"reference {reference!r} must read 'module:object'")
        return f"{self._package}{reference}" if reference.startswith(".") else reference

    def model(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A whole network; see `contracts.model`."""
        self.register("model", name, config=config, factory=factory, summary=summary)

    def attention(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A sequence mixer; see `contracts.attention`."""
        self.register("attention", name, config=config, factory=factory, summary=summary)

    def ffn(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A channel mixer; see `contracts.ffn`."""
        self.register("ffn", name, config=config, factory=factory, summary=summary)

    def norm(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A normalisation; see `contracts.norm`."""
        self.register("norm", name, config=config, factory=factory, summary=summary)

    def residual(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A residual stream; see `contracts.residual`."""
        self.register("residual", name, config=config, factory=factory, summary=summary)

    def objective(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A further term of the loss; see `contracts.objective`."""
        self.register("objective", name, config=config, factory=factory, summary=summary)

    def token_filter(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A choice of the tokens that are learned from; see `contracts.objective`."""
        self.register("token_filter", name, config=config, factory=factory, summary=summary)

    def optimizer(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """An update rule; see `contracts.optimizer`."""
        self.register("optimizer", name, config=config, factory=factory, summary=summary)

    def schedule(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A multiplier over the steps; see `contracts.schedule`."""
        self.register("schedule", name, config=config, factory=factory, summary=summary)

    def quantizer(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A rounding of weights and activations; see `contracts.quantizer`."""
        self.register("quantizer", name, config=config, factory=factory, summary=summary)

    def kernel(
        self,
        operation: str,
        implementation: str,
        *,
        factory: str,
        summary: str,
        priority: int,
        requires: tuple[str, ...] = (),
    ) -> None:
        """An implementation of a core operation; see `contracts.kernel`. `requires` names capabilities."""
        self.register(
            "kernel",
            f"{operation}/{implementation}",
            config="nanochat_framework.config.component:ComponentConfig",
            factory=factory,
            summary=summary,
            operation=operation,
            priority=priority,
            requires=requires,
        )

    def exporter(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A writer of a file format; see `contracts.exporter`."""
        self.register("exporter", name, config=config, factory=factory, summary=summary)

    def importer(
        self,
        name: str,
        *,
        config: str,
        factory: str,
        summary: str,
        suffixes: tuple[str, ...] = (),
        markers: tuple[str, ...] = (),
    ) -> None:
        """A reader of a format; see `contracts.exporter`. It is chosen by a file's suffix, or by a file in a folder."""
        self.register(
            "importer", name, config=config, factory=factory, summary=summary, suffixes=suffixes, markers=markers
        )

    def source(
        self,
        name: str,
        *,
        config: str,
        factory: str,
        summary: str,
        yields: str,
        example: str | None = None,
        on_every_machine: bool = False,
    ) -> None:
        """Where data comes from; `yields` is "documents" (text to prepare) or "tokens" (ready to train on).

        `example` names a function that writes small files for the contract suite to read; see `testing.example_files`.
        `on_every_machine`: it yields documents without settings or downloads, for commands that need some text.
        """
        if yields not in ("documents", "tokens"):
            raise ValueError(f"source {name!r}: yields must be 'documents' or 'tokens', not {yields!r}")
        traits: dict[str, Any] = {"yields": yields, "on_every_machine": on_every_machine}
        if example is not None:
            traits["example"] = self._absolute(example)
        self.register("source", name, config=config, factory=factory, summary=summary, **traits)

    def callback(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """Something done beside the training loop; see `contracts.callback`."""
        self.register("callback", name, config=config, factory=factory, summary=summary)

    def tracker(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """Where metrics go besides the run's folder; see `contracts.tracker`."""
        self.register("tracker", name, config=config, factory=factory, summary=summary)

    def evaluation(self, name: str, *, config: str, factory: str, summary: str) -> None:
        """A score of a trained model; see `contracts.evaluation`."""
        self.register("evaluation", name, config=config, factory=factory, summary=summary)
