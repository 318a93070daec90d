"""What JavaScript's conversions, operators and members give for the values of a JSON document.

Rules:

- every function is pure, reads its arguments and changes none of them;
- a value is what a JSON decoder gives (`None` for null, `bool`, `int`, `float`, `str`, `list`, `dict`) or `UNDEFINED`;
- a number is an IEEE double. Python's ints know no bound, so whatever reads a number passes it through `double`: what
  is whole and at most 2^53 away from 0 is an `int`, everything else a `float`, and -0 is the `float` -0.0;
- `True` is an int to Python and none to JavaScript: types are compared with `type(x) is`, not with `isinstance`;
- text is a row of UTF-16 code units. A `str` holds one character per code point, so whatever cuts text works on its
  `units`, what counts or orders it on its encoding, and `paired` puts two surrogates that meet back into one character;
- a value has its own members and no others: nothing is inherited, in either language;
- nothing raises and nothing recurses, however large a number is and however deep a list.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, TypeGuard, final

#: Up to here, and down to its negative, a double holds every whole number.
SAFE: Final = 2**53

#: What `trim` and the conversion to a number strip: JavaScript's white space and line ends, which are not Python's.
WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Each alternative can match in one way only, so that a long text costs linear time.
_DECIMAL = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
# No list and no text is longer than what 15 digits count.
_INDEX = re.compile(r"0|[1-9][0-9]{0,14}")
_BASES: Final = {"x": 16, "o": 8, "b": 2}


@final
class Undefined:
    """The type of `UNDEFINED`, which is its only instance, also after a copy or a pickle."""

    __slots__ = ()

    def __new__(cls) -> Undefined:
        return UNDEFINED

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "undefined"

    def __reduce__(self) -> str:
        # The name of the global that holds it: how pickle and copy are told "the same object again".
        return "UNDEFINED"


#: JavaScript's `undefined`: the value of whatever is not there.
UNDEFINED: Final[Undefined] = object.__new__(Undefined)

_PRIMITIVES: Final = frozenset({type(None), bool, int, float, str, Undefined})


# Numbers


def double(value: float) -> float:
    """The IEEE double that `value` stands for: an `int` if whole and within 2^53, else a `float`. -0 is -0.0."""
    if type(value) is int:
        if -SAFE <= value <= SAFE:
            return value
        try:
            value = float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if -SAFE <= value <= SAFE and value == (whole := int(value)):
        return whole if whole or math.copysign(1.0, value) > 0 else value
    return value


def from_json(value: object) -> object:
    """A value as it is read out of a document: only an int that no double holds changes."""
    return double(value) if type(value) is int else value


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) is int or type(value) is float


def _is_nan(value: object) -> bool:
    return type(value) is float and math.isnan(value)


def to_number(value: object) -> float:
    """`Number(value)`: an `int` where the number is whole and within 2^53."""
    if _is_number(value):
        return double(value)
    if type(value) is str:
        return _text_number(value)
    if value is None or type(value) is bool:
        return 1 if value else 0
    if value is UNDEFINED:
        return math.nan
    return _text_number(to_text(value))


def _text_number(text: str) -> float:
    text = text.strip(WHITESPACE)
    if not text:
        return 0
    if _DECIMAL.fullmatch(text):
        return double(float(text))
    if _PREFIXED.fullmatch(text):
        return double(int(text[2:], _BASES[text[1].lower()]))
    return math.nan


def to_integer(value: object) -> float:
    """The whole part of a number, as positions are read: NaN counts as 0, infinities stay."""
    number = to_number(value)
    if math.isnan(number):
        return 0
    return math.trunc(number) if math.isfinite(number) else number


def floor(number: float) -> float:
    """`Math.floor(number)`."""
    return _whole(math.floor(number), number) if math.isfinite(number) else number


def ceil(number: float) -> float:
    """`Math.ceil(number)`: from -1 up to 0 it is -0."""
    return _whole(math.ceil(number), number) if math.isfinite(number) else number


def round_half_up(number: float) -> float:
    """`Math.round(number)`: a half goes up, so -2.5 gives -2 and -0.5 gives -0."""
    if not math.isfinite(number):
        return number
    below = math.floor(number)
    # Adding a half and flooring would be wrong for 0.49999999999999994; this difference is exact where it matters.
    return _whole(below + 1 if number - below >= 0.5 else below, number)


def _whole(rounded: int, number: float) -> float:
    """A rounded number, with the sign of the one that it was: a zero keeps it too."""
    return double(math.copysign(float(rounded), number)) if rounded == 0 else double(rounded)


# Conversions


def truthy(value: object) -> bool:
    """`Boolean(value)`: empty lists and objects are true, NaN is false."""
    if value:
        return type(value) is not float or not math.isnan(value)
    return type(value) not in _PRIMITIVES


def nullish(value: object) -> bool:
    """Whether `??` and `?.` pass over `value`: null and undefined."""
    return value is None or value is UNDEFINED


def to_text(value: object) -> str:
    """`String(value)`."""
    if type(value) is str:
        return value
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if _is_number(value):
        return _number_text(double(value))
    if value is UNDEFINED:
        return "undefined"
    return ",".join(_element_texts(value)) if type(value) is list else "[object Object]"


def _element_texts(value: list[Any]) -> list[str]:
    """The texts that `String(list)` joins with commas, those of inner lists in their places."""
    texts: list[str] = []
    pending: list[object] = [value]
    while pending:
        item = pending.pop()
        if type(item) is list and item:
            pending.extend(reversed(item))
        else:
            texts.append("" if nullish(item) or type(item) is list else to_text(item))
    return texts


def _number_text(number: float) -> str:
    if type(number) is int:
        return str(number)
    if math.isnan(number):
        return "NaN"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    if math.isinf(number):
        return sign + "Infinity"
    digits, point = _decimal(abs(number))
    return sign + _placed(digits, point)


def _decimal(number: float) -> tuple[str, int]:
    """The fewest digits that tell a positive double, and where its point is: 0.`digits` times 10^`point`."""
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    return digits.rstrip("0"), point


def _placed(digits: str, point: int) -> str:
    """JavaScript's notation: plain from 1e-6 up to below 1e21, with an exponent outside."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def primitive(value: object) -> object:
    """What a list or an object is to an operator, its text; every other value is itself."""
    return value if type(value) in _PRIMITIVES else to_text(value)


# Operators


def strict_equal(left: object, right: object) -> bool:
    """`left === right`: two lists or objects are equal only if they are one and the same."""
    if _is_number(left) and _is_number(right):
        return double(left) == double(right)
    if type(left) is not type(right):
        return False
    return left == right if type(left) is str else left is right


def loose_equal(left: object, right: object) -> bool:
    """`left == right`."""
    if nullish(left) or nullish(right):
        return nullish(left) and nullish(right)
    if type(left) not in _PRIMITIVES and type(right) not in _PRIMITIVES:
        return left is right
    left, right = primitive(left), primitive(right)
    if type(left) is str and type(right) is str:
        return left == right
    return to_number(left) == to_number(right)


def less(left: object, right: object) -> bool:
    """`left < right`."""
    a, b = _ordered(left, right)
    return bool(a < b)


def less_or_equal(left: object, right: object) -> bool:
    """`left <= right`, which is not `!(left > right)`: NaN is neither."""
    a, b = _ordered(left, right)
    return bool(a <= b)


def greater(left: object, right: object) -> bool:
    """`left > right`."""
    a, b = _ordered(left, right)
    return bool(a > b)


def greater_or_equal(left: object, right: object) -> bool:
    """`left >= right`."""
    a, b = _ordered(left, right)
    return bool(a >= b)


def _ordered(left: object, right: object) -> tuple[Any, Any]:
    """Two things that Python orders as JavaScript orders `left` and `right`: two texts, or two numbers."""
    left, right = primitive(left), primitive(right)
    if type(left) is str and type(right) is str:
        # Code points and code units differ in order only where both sides hold something beyond ASCII.
        if left.isascii() or right.isascii():
            return left, right
        return _encoded(left), _encoded(right)
    return to_number(left), to_number(right)


def add(left: object, right: object) -> object:
    """`left + right`: text if either side is text, a list or an object."""
    left, right = primitive(left), primitive(right)
    if type(left) is str or type(right) is str:
        return concat((to_text(left), to_text(right)))
    return double(to_number(left) + to_number(right))


def subtract(left: object, right: object) -> float:
    """`left - right`."""
    return double(to_number(left) - to_number(right))


def multiply(left: object, right: object) -> float:
    """`left * right`."""
    a, b = to_number(left), to_number(right)
    product = a * b
    # Ints have no -0, so a zero is computed again with floats, which do.
    return double(product if product else float(a) * float(b))


def divide(left: object, right: object) -> float:
    """`left / right`: by 0 it is an infinity, or NaN."""
    a, b = float(to_number(left)), float(to_number(right))
    if b:
        return double(a / b)
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)


def remainder(left: object, right: object) -> float:
    """`left % right`: with the sign of `left`; by 0 it is NaN."""
    a, b = to_number(left), to_number(right)
    if b == 0 or math.isinf(a):
        return math.nan
    return double(math.fmod(a, b))


def negate(value: object) -> float:
    """`-value`: of 0 it is -0."""
    number = to_number(value)
    return -number if number else -float(number)


# Text


def _encoded(text: str) -> bytes:
    """Two bytes for each code unit, in the order of code units: much quicker than `units`."""
    return text.encode("utf-16-be", "surrogatepass")


def _decoded(encoded: bytes) -> str:
    return encoded.decode("utf-16-be", "surrogatepass")


def units(text: str) -> str:
    """`text` with one character per UTF-16 code unit."""
    return text if text.isascii() else _ASTRAL.sub(_split_pair, text)


def _split_pair(match: re.Match[str]) -> str:
    beyond = ord(match[0]) - 0x10000
    return chr(0xD800 + (beyond >> 10)) + chr(0xDC00 + (beyond & 0x3FF))


def paired(text: str) -> str:
    """`text` with one character per code point: the inverse of `units`."""
    return text if text.isascii() else _PAIR.sub(_join_pair, text)


def _join_pair(match: re.Match[str]) -> str:
    high, low = map(ord, match[0])
    return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)


def concat(pieces: Iterable[str]) -> str:
    """The pieces one after the other; surrogates that meet become one character."""
    return paired("".join(pieces))


def text_length(text: str) -> int:
    """`text.length`: UTF-16 code units, so 2 for a character beyond U+FFFF."""
    return len(text) if text.isascii() else len(_encoded(text)) // 2


def trim(text: str) -> str:
    """`text.trim()`."""
    return text.strip(WHITESPACE)


def capitalized(text: str) -> str:
    """The first code unit in upper case and the rest in lower case."""
    first = text[:1]
    # Half of a pair has no upper case, so a first character beyond U+FFFF stays as it is.
    return (first if first > "\uffff" else first.upper()) + text[1:].lower()


def split(text: str, separator: str) -> list[object]:
    """`text.split(separator)`: by the empty text, into code units."""
    if separator and _of_whole_characters(separator):
        return list(text.split(separator))
    whole = units(text)
    return [paired(piece) for piece in (whole.split(units(separator)) if separator else whole)]


def starts_with(text: str, sought: object = UNDEFINED, position: object = UNDEFINED) -> bool:
    """`text.startsWith(sought, position)`."""
    prefix = to_text(sought)
    if position is UNDEFINED and _of_whole_characters(prefix):
        return text.startswith(prefix)
    whole = _encoded(text)
    return whole.startswith(_encoded(prefix), 2 * _clamped(to_integer(position), len(whole) // 2))


def ends_with(text: str, sought: object = UNDEFINED, end: object = UNDEFINED) -> bool:
    """`text.endsWith(sought, end)`."""
    suffix = to_text(sought)
    if end is UNDEFINED and _of_whole_characters(suffix):
        return text.endswith(suffix)
    whole = _encoded(text)
    stop = len(whole) // 2 if end is UNDEFINED else _clamped(to_integer(end), len(whole) // 2)
    return whole[: 2 * stop].endswith(_encoded(suffix))


def text_includes(text: str, sought: object = UNDEFINED, position: object = UNDEFINED) -> bool:
    """`text.includes(sought, position)`."""
    part = to_text(sought)
    if position is not UNDEFINED:
        whole = _encoded(text)
        text = _decoded(whole[2 * _clamped(to_integer(position), len(whole) // 2) :])
    return part in text if _of_whole_characters(part) else units(part) in units(text)


def _of_whole_characters(sought: str) -> bool:
    """Whether a text can be found only at whole characters of another, so that neither need be taken into units."""
    return sought.isascii() or _SURROGATE.search(sought) is None


def _clamped(position: float, length: int) -> int:
    return int(min(max(position, 0), length))


def _relative(position: float, length: int) -> int:
    """A position that counts from the end if negative, kept within the list."""
    return _clamped(position + length if position < 0 else position, length)


# Lists


def list_includes(items: list[Any], sought: object = UNDEFINED, start: object = UNDEFINED) -> bool:
    """`items.includes(sought, start)`: as `===`, except that NaN is found too."""
    found = items[_relative(to_integer(start), len(items)) :]
    if _is_nan(sought):
        return any(_is_nan(item) for item in found)
    return any(strict_equal(item, sought) for item in found)


def list_slice(items: list[Any], start: object = UNDEFINED, end: object = UNDEFINED) -> list[object]:
    """`items.slice(start, end)`."""
    stop = len(items) if end is UNDEFINED else _relative(to_integer(end), len(items))
    return items[_relative(to_integer(start), len(items)) : stop]


def list_sorted(items: list[Any]) -> list[object]:
    """`[...items].sort()`: by text in the order of code units, undefined last."""
    known = sorted((item for item in items if item is not UNDEFINED), key=lambda item: _encoded(to_text(item)))
    return known + [UNDEFINED] * (len(items) - len(known))


def list_joined(items: list[Any], separator: str) -> str:
    """`items.join(separator)`: null and undefined are empty."""
    return paired(separator.join("" if nullish(item) else to_text(item) for item in items))


# Members


def member(value: object, key: object) -> object:
    """The own member `key` of `value`, a number as the double that it is; UNDEFINED if there is none.

    Objects have their keys, lists their elements and `length`, texts their code units and `length`.
    """
    if type(value) is dict:
        return from_json(value.get(key if type(key) is str else to_text(key), UNDEFINED))
    if type(value) is list:
        index = _index(key, len(value))
        return from_json(value[index]) if index >= 0 else _length(key, len(value))
    if type(value) is str:
        return _text_member(value, key)
    return UNDEFINED


def _text_member(text: str, key: object) -> object:
    length = text_length(text)
    index = _index(key, length)
    if index < 0:
        return _length(key, length)
    return text[index] if text.isascii() else _decoded(_encoded(text)[2 * index : 2 * index + 2])


def has_member(value: object, key: object) -> bool:
    """`key in value`, for own members; false where `value` is neither a list nor an object."""
    if type(value) is dict:
        return to_text(key) in value
    if type(value) is list:
        return _index(key, len(value)) >= 0 or to_text(key) == "length"
    return False


def _index(key: object, length: int) -> int:
    """The index that a key names within a list or text of this length; -1 if it names none."""
    if type(key) is not int:
        text = to_text(key)
        if not _INDEX.fullmatch(text):
            return -1
        key = int(text)
    return key if 0 <= key < length else -1


def _length(key: object, length: int) -> object:
    """The one member of a list or text that is no element."""
    return length if to_text(key) == "length" else UNDEFINED


def own_keys(value: object) -> list[str]:
    """`Object.keys(value)`: those that are array indexes first, in their order, then the others as they came."""
    if type(value) is list:
        return [str(index) for index in range(len(value))]
    if type(value) is not dict:
        return []
    # 2^32 - 2 is the last index that an array can have.
    indexes = [key for key in value if _INDEX.fullmatch(key) and int(key) < 2**32 - 1]
    if not indexes:
        return list(value)
    first = set(indexes)
    return [*sorted(indexes, key=int), *(key for key in value if key not in first)]


# JSON


def json_text(value: object) -> str | Undefined:
    """`JSON.stringify(value)`: UNDEFINED of UNDEFINED."""
    if value is UNDEFINED:
        return UNDEFINED
    written: list[str] = []
    # What is still to write, last first. Text that is ready stands in a tuple of one, which no JSON value is.
    pending: list[object] = [value]
    while pending:
        item = pending.pop()
        if type(item) is tuple:
            written.extend(item)
        elif type(item) is list:
            pending.extend(reversed(_list_parts(item)))
        elif type(item) is dict:
            pending.extend(reversed(_object_parts(item)))
        else:
            written.append(_scalar_json(item))
    return "".join(written)


def _list_parts(items: list[Any]) -> list[object]:
    parts: list[object] = [("[",)]
    for number, item in enumerate(items):
        parts += [(",",), item] if number else [item]
    return [*parts, ("]",)]


def _object_parts(value: dict[str, Any]) -> list[object]:
    parts: list[object] = [("{",)]
    present = (key for key in own_keys(value) if value[key] is not UNDEFINED)
    for number, key in enumerate(present):
        parts += [("," if number else "", _quoted(key), ":"), value[key]]
    return [*parts, ("}",)]


def _scalar_json(value: object) -> str:
    if type(value) is str:
        return _quoted(value)
    if type(value) is bool:
        return to_text(value)
    if _is_number(value):
        number = double(value)
        return to_text(number) if math.isfinite(number) else "null"
    return "null" if nullish(value) else "{}"


def _quoted(text: str) -> str:
    # A surrogate that has no partner is escaped; a pair was one character all along.
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))
