"""Keep logs from commanding the screen they are read on: hidden and commanding characters are written out.

Kept are tabs, emoji with their joiners (U+200C, U+200D) and selectors, and every visible letter. Written out are
terminal commands (C0, DEL, C1), marks that reorder text (bidi), line ends that only some programs know (U+0085,
U+2028, U+2029), text that cannot be seen (zero-width spaces, soft hyphens, tags, fillers, the empty Braille pattern,
variation selectors where they select nothing) and lone surrogates, which no encoding takes.
"""

from __future__ import annotations

import re

_HIDDEN = (
    "\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
SURROGATES = re.compile("[\ud800-\udfff]")
HIDDEN = re.compile(f"[{_HIDDEN}]")
"""Harmful characters that JSON leaves as they are (it escapes the C0 controls itself)."""
_BLANK = (
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0d\U00016fe4\U0001d159\U000e0100-\U000e01ef"
)
"""What counts as a letter or a sign, and shows nothing."""
_EMOJI = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935\u2b05-\u2b55"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Behind a sign that can be an emoji one selector says whether it is; before U+20E3 it makes a digit a keycap.
_SELECTORS = f"(?<![{_EMOJI}])[\ufe0e\ufe0f](?!\u20e3)|(?<![\u1800-\u18aa])[\u180b-\u180d\u180f]"
_IN_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\ud800-\udfff{_HIDDEN}{_BLANK}]|{_SELECTORS}")
_IN_LINE = re.compile(f"[\x00-\x1f\ud800-\udfff{_HIDDEN}{_BLANK}]|{_SELECTORS}")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _written_out(match: re.Match[str]) -> str:
    character = match[0]
    short = _SHORT.get(character)
    if short is not None:
        return short
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def is_plain(text: str) -> bool:
    """Return whether nothing has to be written out, as far as that is quickly told: False tells nothing."""
    return text.isascii() and text.isprintable()


def escape_text(text: str) -> str:
    """Return text of several lines made harmless: newlines and tabs stay, ``\\r\\n`` counts as one newline."""
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    return _IN_TEXT.sub(_written_out, text)


def escape_line(text: str) -> str:
    """Return text that must stay on one line made harmless: newlines and tabs are written out as well."""
    return text if is_plain(text) else _IN_LINE.sub(_written_out, text)
