"""Templates of other people's models: rendered in a sandbox, refused in a line."""

from __future__ import annotations

import pytest

from nanochat_framework.errors import UsageError
from nanochat_framework.inference.chat_format import Message, chat_format
from tests.exporters.models import small_tokenizer

HI = [Message("user", "Hi")]


def test_the_variables_and_functions_of_templates() -> None:
    tokenizer = small_tokenizer()
    template = (
        "{{ bos_token }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{{ m | tojson }}{{ eos_token }}{% endfor %}{{ strftime_now('%Y')[:2] }}{{ add_generation_prompt }}"
    )
    ids = chat_format(tokenizer, {"chat_template": template}).prompt([*HI, *HI])
    assert ids[0] == tokenizer.bos_id and ids.count(tokenizer.eos_id) == 1
    assert tokenizer.decode(ids) == '{"role": "user", "content": "Hi"}20True'


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ raise_exception('roles must\\nalternate') }}", "refuses: roles must alternate"),
        ("{{ messages.append(1) }}", "refuses: .*not safely callable|refuses: .*unsafe"),
        ("{{ ''.__class__.__mro__ }}", "refuses: .*unsafe"),
        ("{% if %}", "refuses: "),
    ],
)
def test_what_a_template_must_not_do(template: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        chat_format(small_tokenizer(), {"chat_template": template}).prompt(HI)


def test_roles_that_there_are() -> None:
    with pytest.raises(UsageError, match="system, user or assistant, not 'boss'"):
        Message("boss", "Hi")
