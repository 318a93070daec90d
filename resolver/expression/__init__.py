"""The expressions of conditions, and the text templates that hold them: parsed once, then evaluated per request.

Rules:

- the language is a part of JavaScript's, with its precedence and its meaning of every operator;
- text is read whole or not at all: what cannot be parsed raises `InvalidExpression` with the offset of its fault;
- evaluation has no effect and one way to fail: `Needed`, when it reads a name that the scope does not hold;
- a member that is not there is undefined, and so is every member of undefined: each `.` is as lenient as `?.`;
- a branch that is not taken is not evaluated, and so needs nothing;
- `-` inside a name is part of the name; a subtraction has spaces round it;
- `${…}` and `{{…}}` are the same, and within an expression they are a kind of parenthesis, unless a name or a dash
  touches them: `level-${n} === 'level-5'` compares a text.

Where to look:

| Question                                             | Module       |
|------------------------------------------------------|--------------|
| what do others call?                                 | this one     |
| what is a parsed expression? a template?             | `expression`, `template` |
| when is a field's text an expression, when a text?   | `field`      |
| what are requests drawn by?                          | `key`        |
| which names does nothing have?                       | `names`      |
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
from resolver.expression.field import parse_condition, parse_field
from resolver.expression.functions import FILTER_NAMES, METHODS
from resolver.expression.javascript import UNDEFINED
from resolver.expression.key import Key, NoKey, parse_key
from resolver.expression.names import CONTEXT_NAMES, UnknownName, input_fields, unknown_names
from resolver.expression.parser import DEEPEST
from resolver.expression.scope import Needed, Scope
from resolver.expression.template import parse_template
from resolver.expression.tokens import LONGEST

__all__ = [
    "CONTEXT_NAMES",
    "DEEPEST",
    "FILTER_NAMES",
    "LONGEST",
    "METHODS",
    "UNDEFINED",
    "Expression",
    "Key",
    "Needed",
    "NoKey",
    "Scope",
    "UnknownName",
    "input_fields",
    "parse_condition",
    "parse_expression",
    "parse_field",
    "parse_key",
    "parse_template",
    "unknown_names",
]
