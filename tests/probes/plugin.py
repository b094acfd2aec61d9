"""Probes of the contracts: the smallest honest recurrent mixer, two-stream residual and top-2 router.

They are written as a stranger would write them, against the contracts alone, to know that the contracts can carry what
is to come. Each is naive and small on purpose.
"""

from __future__ import annotations

from nanochat_framework.plugins import Registrar, hookimpl

NANOCHAT_PLUGIN_API = 1


@hookimpl
def nanochat_register(registrar: Registrar) -> None:
    """Register the probes."""
    for kind, name, config, factory in (
        ("attention", "probe/recurrent", ".config:RecurrentConfig", ".recurrent:build_recurrent"),
        ("residual", "probe/two_streams", ".config:TwoStreamsConfig", ".two_streams:build_two_streams"),
        ("ffn", "probe/top2", ".config:Top2Config", ".top2:build_top2"),
        ("objective", "probe/two_ahead", ".config:TwoAheadConfig", ".two_ahead:build_two_ahead"),
    ):
        registrar.register(kind, name, config=config, factory=factory, summary="probe of the contract")
