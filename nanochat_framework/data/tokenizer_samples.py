"""Short texts, written for this project, that show what a tokenizer makes of different kinds of text."""

from __future__ import annotations

from typing import Final

CODE = '''\
"""Counts words in files, the most frequent ones first."""

import argparse
from collections import Counter
from pathlib import Path


def count_words(path: Path, *, lower: bool = True) -> Counter[str]:
    """Words of one file; raises OSError if it cannot be read."""
    text = path.read_text(encoding="utf-8")
    return Counter((text.lower() if lower else text).split())


class Table:
    def __init__(self, width: int = 24) -> None:
        self.width = width
        self.rows: list[tuple[str, int]] = []

    def add(self, word: str, count: int) -> None:
        if len(word) > self.width:
            word = word[: self.width - 1] + "…"
        self.rows.append((word, count))

    def __str__(self) -> str:
        return "\\n".join(f"{word:<{self.width}} {count:>8,}" for word, count in self.rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    table = Table()
    for word, count in sum((count_words(file) for file in arguments.files), Counter()).most_common(20):
        table.add(word, count)
    print(table)
'''

RUST = """\
use std::collections::HashMap;
use std::io::{self, BufRead};

#[derive(Debug, Clone, PartialEq)]
pub enum Token<'a> {
    Number(f64),
    Name(&'a str),
    Operator(char),
}

pub fn evaluate(tokens: &[Token<'_>], names: &HashMap<String, f64>) -> Result<f64, String> {
    let mut stack: Vec<f64> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Number(value) => stack.push(*value),
            Token::Name(name) => stack.push(*names.get(*name).ok_or_else(|| format!("no {name}"))?),
            Token::Operator(sign) => {
                let (right, left) = (stack.pop().ok_or("empty")?, stack.pop().ok_or("empty")?);
                stack.push(if *sign == '+' { left + right } else { left * right });
            }
        }
    }
    stack.pop().ok_or_else(|| "nothing to evaluate".to_string())
}

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        println!("{:?}", line?.split_whitespace().collect::<Vec<_>>());
    }
    Ok(())
}
"""

PROSE = """\
The ferry left the harbour a little before six, when the first windows along the quay were lit and the gulls had not yet
begun to quarrel over the nets. There were eleven passengers, most of them on their way to work, and a dog that belonged
to nobody in particular. It had crossed with the early boat every morning since spring; the captain let it sleep beside
the engine-room door, where the deck was warm.

"You'll want to stand on the other side," he told the young woman with the suitcase. "The wind's from the east today, and
the spray comes over before you've seen it." She thanked him, and stayed where she was. She had been told a good many
things about the island, nearly all of them by people who hadn't been there, and she meant to look at it for herself from
the moment it came out of the mist until she could count its chimneys.

Nobody spoke much after that. The coast behind them turned grey, then blue, and was gone.
"""

NUMBERS = """\
year,month,visitors,revenue,mean_temperature
1998,01,12840,93450.75,-3.2
1998,02,11975,88012.10,-1.8
1999,01,13006,95210.00,-4.05
2003,11,20417,151093.42,6.7
2024,06,104882,1204775.90,19.31
pi = 3.14159265358979323846; c = 299792458 m/s; 6.02214076e23; 0x7fff_ffff; 192.168.0.1:8080
1,000,000 / 7 = 142857.142857...; 2**64 = 18446744073709551616; 12:45:07.331; +49 30 1234567
"""

OTHER_SCRIPTS = """\
Куда бы мы ни пошли, дорога возвращается к морю, и вечером снова слышен колокол.
Όπου κι αν πάμε, ο δρόμος γυρίζει πάντα στη θάλασσα.
无论我们走到哪里，道路总会回到海边，傍晚又能听见钟声。
どこへ行っても、道はいつも海へ戻り、夕方にはまた鐘の音が聞こえる。
어디로 가든 길은 늘 바다로 돌아오고 저녁이면 다시 종소리가 들린다.
أينما ذهبنا يعود الطريق إلى البحر، وفي المساء نسمع الجرس من جديد.
हम जहाँ भी जाएँ, रास्ता हमेशा समुद्र की ओर लौटता है।
Đi đâu thì con đường cũng trở về biển. Größe, naïveté, smørrebrød, żółw. 🌊🔔👩‍🚀
"""

SAMPLES: Final[dict[str, str]] = {
    "Python": CODE,
    "Rust": RUST,
    "prose": PROSE,
    "numbers": NUMBERS,
    "other scripts": OTHER_SCRIPTS,
}
