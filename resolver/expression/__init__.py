"""The expressions of conditions, and the text templates that hold them: parsed once, then evaluated per request.

Rules:

- the language is a part of JavaScript's, with its precedence and its meaning of every operator;
- text is read whole or not at all: what cannot be parsed raises `InvalidExpression` with the offset of its fault;
- evaluation has no effect and one way to fail: `Needed`, when it reads a name that the scope does not hold;
- a member that is not there is undefined, and so is every member of undefined: each `.` is as lenient as `?.`;
- a branch that is not taken is not evaluated, and so needs nothing;
- `-` inside a name is part of the name; a subtraction has spaces round it;
- `${…}` and `{{…}}` are the same, and within an expression they are a kind of parenthesis.

Where to look:

| Question                                             | Module       |
|------------------------------------------------------|--------------|
| what do others call?                                 | this one     |
| what is a parsed expression? a template?             | `expression`, `template` |
| what does an expression read?                        | `scope`      |
| which names does a value wait for?                   | `needs`      |
| what may be written?                                 | `parser`, one function per rule of the grammar |
| what is a name, a number, a text? which errors?      | `tokens`     |
| which forms does a parsed text have?                 | `tree`       |
| what does an operator, a method, a filter do?        | `functions`  |
| how is it evaluated, and why is that fast?           | `compiler`   |
| what does JavaScript say?                            | `javascript` |
"""

from resolver.expression.expression import Expression, parse_expression
from resolver.expression.functions import FILTER_NAMES, METHODS
from resolver.expression.javascript import UNDEFINED
from resolver.expression.parser import DEEPEST
from resolver.expression.scope import Needed, Scope
from resolver.expression.template import Template, parse_template
from resolver.expression.tokens import LONGEST

__all__ = [
    "DEEPEST",
    "FILTER_NAMES",
    "LONGEST",
    "METHODS",
    "UNDEFINED",
    "Expression",
    "Needed",
    "Scope",
    "Template",
    "parse_expression",
    "parse_template",
]
